// Boxes on a picture: drawn, moved, resized, given another class, left out; by mouse, finger and keyboard. Corners are kept
// in the unit of the data, so that an edge that nobody touches stays as it is to the last digit.
"use strict";
errata.stages.boxes = (shell, sheet, image) => {
  const SVG = "http://www.w3.org/2000/svg";
  const EDGES = [[0, 1], [2, 1], [2, 3], [0, 3], [null, 1], [2, null], [null, 3], [0, null]]; // corners, then sides
  const LEAST = 4; // pixels of the screen: a shorter way is a click
  const pixels = sheet.pixels[0] ? sheet.pixels : sheet.size[0] > 1 ? sheet.size : [image.naturalWidth, image.naturalHeight];
  const reach = sheet.size[0] ? sheet.size : pixels;
  const unit = [pixels[0] / reach[0], pixels[1] / reach[1]]; // pixels of the picture per unit of the data
  const of = (place) => unit[place % 2], most = (place) => reach[place % 2];
  const known = new Set(sheet.given.map((one) => JSON.stringify([one.label, one.box])));
  const svg = document.createElementNS(SVG, "svg"), handles = document.createElementNS(SVG, "g");
  let boxes = [], selected = null, next = 1, gesture = null;
  svg.setAttribute("role", "listbox");
  svg.setAttribute("tabindex", "-1");
  svg.setAttribute("aria-label", "Boxes");
  handles.setAttribute("class", "handles");
  svg.append(handles);
  shell.board.append(svg);

  const find = (id) => boxes.find((one) => one.id === id);
  const copy = () => boxes.map((one) => ({ ...one, box: [...one.box] }));
  const shown = (one) => one.box.map((value, place) => value * of(place)); // in pixels of the picture
  const round = (value) => Math.round(10 * value) / 10;
  const told = (one) => {
    const [x0, y0, x1, y1] = shown(one);
    return `${one.label}, ${round(x0)}, ${round(y0)} to ${round(x1)}, ${round(y1)} (${round(x1 - x0)} × ${round(y1 - y0)})`;
  };

  // -- changes ------------------------------------------------------------------------------------------------------

  function restore(state, id) {
    boxes = state.map((one) => ({ ...one, box: [...one.box] }));
    selected = find(id) ? id : null;
  }

  function commit(before, was, merge) {
    const after = copy(), now = selected;
    shell.commit({ undo: () => restore(before, was), redo: () => restore(after, now), merge });
    render();
    const one = find(selected);
    shell.say(one ? told(one) : `${boxes.length} ${boxes.length === 1 ? "box" : "boxes"}`);
  }

  function change(merge, act) {
    const before = copy(), was = selected;
    if (act() !== false) commit(before, was, merge);
  }

  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

  // A box moved by whole pixels, and brought into the picture; the edges that do not move keep their digits.
  function moved(box, dx, dy) {
    const inside = box.map((value, place) => clamp(value, 0, most(place)));
    const by = [dx, dy].map((way, axis) => clamp(way / unit[axis], -inside[axis], reach[axis] - inside[axis + 2]));
    return inside.map((value, place) => (by[place % 2] ? clamp(value + by[place % 2], 0, most(place)) : value));
  }

  function resized(box, edges, x, y) {
    const inside = box.map((value, place) => clamp(value, 0, most(place)));
    edges.forEach((place, axis) => {
      if (place === null) return;
      const pixel = 1 / unit[axis], at = Math.round(axis ? y : x) / unit[axis];
      const other = inside[(place + 2) % 4];
      inside[place] = place < 2 ? clamp(at, 0, Math.max(0, other - pixel)) : clamp(at, Math.min(reach[axis], other + pixel), reach[axis]);
    });
    return inside;
  }

  function corners(from, to) {
    const cut = (value, axis) => clamp(Math.round(value), 0, pixels[axis]);
    const xs = [cut(from[0], 0), cut(to[0], 0)].sort((a, b) => a - b), ys = [cut(from[1], 1), cut(to[1], 1)].sort((a, b) => a - b);
    return [xs[0] / unit[0], ys[0] / unit[1], xs[1] / unit[0], ys[1] / unit[1]];
  }

  function add(box) {
    const one = { id: next++, label: shell.name, box };
    boxes.push(one);
    selected = one.id;
  }

  // In the middle of what is seen, a quarter as wide and high.
  function addHere() {
    const [x0, y0, x1, y1] = shell.seen, at = [(x0 + x1) / 2, (y0 + y1) / 2];
    const half = [x1 - x0, y1 - y0].map((side) => Math.max(1, side / 8));
    change(null, () => add(corners([at[0] - half[0], at[1] - half[1]], [at[0] + half[0], at[1] + half[1]])));
    focus();
  }

  function remove() {
    if (!find(selected)) return;
    change(null, () => {
      const place = boxes.findIndex((one) => one.id === selected);
      boxes.splice(place, 1);
      selected = boxes.length ? boxes[Math.min(place, boxes.length - 1)].id : null;
    });
    focus();
  }

  function take(id, label = true) {
    selected = id;
    const one = find(id);
    if (one && label) shell.show(one.label);
    shell.say(one ? told(one) : "");
    render();
  }

  // -- drawing them -------------------------------------------------------------------------------------------------

  const set = (element, values) => { for (const [name, value] of Object.entries(values)) element.setAttribute(name, value); };

  function node(one) {
    const made = document.createElementNS(SVG, "g");
    made.append(...["rect", "rect", "text"].map((name) => document.createElementNS(SVG, name)));
    made.firstChild.setAttribute("class", "under");
    made.dataset.id = one.id;
    set(made, { tabindex: "0", role: "option" });
    made.addEventListener("focus", () => { if (selected !== one.id) take(one.id); });
    return made;
  }

  function render() {
    const s = shell.scale, nodes = new Map([...svg.querySelectorAll("g[data-id]")].map((one) => [Number(one.dataset.id), one]));
    for (const [id, gone] of nodes) if (!find(id)) gone.remove();
    let place = svg.firstChild; // what is there stays in its place, for it may have the focus
    for (const one of boxes) {
      const made = nodes.get(one.id) || node(one), [x0, y0, x1, y1] = shown(one).map((value) => value * s);
      if (made === place) place = made.nextSibling;
      else svg.insertBefore(made, place);
      const [under, over, text] = made.children;
      for (const rect of [under, over]) set(rect, { x: x0, y: y0, width: Math.max(1, x1 - x0), height: Math.max(1, y1 - y0) });
      over.style.stroke = shell.colour(one.label);
      text.textContent = one.label;
      text.style.fill = shell.colour(one.label);
      set(text, { x: x0 + 4, y: y0 > 18 ? y0 - 6 : y0 + 16 });
      made.setAttribute("class", `${one.id === selected ? "selected" : ""}${known.has(JSON.stringify([one.label, one.box])) ? "" : " new"}`);
      set(made, { "aria-label": told(one), "aria-selected": String(one.id === selected) });
    }
    const one = find(selected);
    if (handles.children.length !== (one ? 8 : 0)) {
      handles.replaceChildren(...(one ? EDGES : []).map(() => document.createElementNS(SVG, "rect")));
    }
    if (one) grips(one).forEach(([x, y], i) => set(handles.children[i], { x: x * s - 5, y: y * s - 5, width: 10, height: 10 }));
  }

  function grips(one) {
    const at = shown(one), half = [(at[0] + at[2]) / 2, (at[1] + at[3]) / 2];
    return EDGES.map(([x, y]) => [x === null ? half[0] : at[x], y === null ? half[1] : at[y]]);
  }

  // -- mouse and fingers --------------------------------------------------------------------------------------------

  // What of the selected box is at a point: a corner, or else a side, anywhere along it.
  function grip([x, y]) {
    const one = find(selected), near = (shell.coarse ? 22 : 9) / shell.scale;
    if (!one) return null;
    const [x0, y0, x1, y1] = shown(one);
    const close = (a, b, long) => Math.abs(a - b) <= (long === undefined ? near : Math.min(near, Math.max(long / 4, 2 / shell.scale)));
    const corner = EDGES.slice(0, 4).find(([i, j]) => close(x, i ? x1 : x0) && close(y, j === 3 ? y1 : y0));
    if (corner) return corner;
    const across = y0 <= y && y <= y1 && [0, 2].find((i) => close(x, i ? x1 : x0, x1 - x0));
    if (across === 0 || across) return [across, null];
    const along = x0 <= x && x <= x1 && [1, 3].find((j) => close(y, j === 3 ? y1 : y0, y1 - y0));
    return along ? [null, along] : null;
  }

  // The boxes at a point, the smallest first, for it is what is meant.
  function under([x, y]) {
    const slack = (shell.coarse ? 10 : 3) / shell.scale;
    const size = ({ box }) => (box[2] - box[0]) * (box[3] - box[1]);
    return boxes.filter((one) => {
      const [x0, y0, x1, y1] = shown(one);
      return x0 - slack <= x && x <= x1 + slack && y0 - slack <= y && y <= y1 + slack;
    }).sort((a, b) => size(a) - size(b));
  }

  function down(at, event) {
    const edges = event.ctrlKey ? null : grip(at), inside = under(at).some((one) => one.id === selected);
    const what = edges ? "resize" : inside && !event.ctrlKey ? "move" : "draw";
    gesture = { what, edges, from: at, before: copy(), was: selected, box: find(selected) && [...find(selected).box], far: false };
  }

  function move(at) {
    if (!gesture) return;
    const { what, from, edges, box } = gesture;
    gesture.far = gesture.far || Math.hypot(at[0] - from[0], at[1] - from[1]) * shell.scale >= LEAST;
    if (!gesture.far) return;
    if (what === "draw") {
      const made = corners(from, at);
      if (!(made[0] < made[2] && made[1] < made[3])) return;
      if (gesture.id) find(gesture.id).box = made;
      else { add(made); gesture.id = selected; }
    } else {
      find(selected).box = what === "move" ? moved(box, Math.round(at[0] - from[0]), Math.round(at[1] - from[1])) : resized(box, edges, ...at);
    }
    shell.say(told(find(selected)));
    render();
  }

  function up(at) {
    if (!gesture) return;
    move(at);
    const { far, before, was, what, id } = gesture;
    gesture = null;
    if (far && (what !== "draw" || id)) commit(before, was, null);
    else if (!far) { // a click: the next box that lies here
      const here = under(at), place = here.findIndex((one) => one.id === selected);
      take(here.length ? here[(place + 1) % here.length].id : null);
    }
    focus();
  }

  function cancel() {
    if (!gesture) return;
    restore(gesture.before, gesture.was);
    gesture = null;
    render();
  }

  // -- keys ---------------------------------------------------------------------------------------------------------

  const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  function key(event) {
    const one = find(selected), way = WAYS[event.key];
    if (event.key === "Backspace" && one) { remove(); return true; }
    if (!way || event.altKey || event.metaKey) return false;
    if (!one) { if (boxes.length) take(boxes[0].id); focus(); return true; }
    const by = Math.max(1, Math.round(1 / shell.scale)) * (event.ctrlKey ? 10 : 1);
    change(`${event.shiftKey ? "size" : "move"} ${one.id}`, () => {
      const [, , x1, y1] = shown(one);
      one.box = event.shiftKey
        ? resized(one.box, [way[0] ? 2 : null, way[1] ? 3 : null], x1 + by * way[0], y1 + by * way[1])
        : moved(one.box, by * way[0], by * way[1]);
    });
    return true;
  }

  function focus() {
    const made = svg.querySelector(`g[data-id="${selected}"]`) || svg;
    made.focus({ preventScroll: made === svg || Boolean(shell.coarse) });
  }

  return {
    size: pixels,
    none: "",
    tools: [["a", "New box", addHere], ["Delete", "Leave out", remove]],
    keys: "Drag to draw a box; click one to select it, again for the one beneath; drag it, or its edges. Tab goes from box to box; arrows move it, Shift and arrows resize it (Ctrl: ten times as far). Two fingers zoom.",
    load(shapes) {
      boxes = shapes.map((one) => ({ id: next++, label: one.label, box: [...one.box] }));
      selected = null;
    },
    shapes: () => boxes.map(({ label, box }) => ({ label, box })),
    choose(name) {
      const one = find(selected);
      if (one && one.label !== name) change(null, () => { one.label = name; });
      focus();
    },
    escape() {
      if (gesture) cancel();
      else if (find(selected)) { take(null); svg.focus(); }
      else return false;
      return true;
    },
    render, down, move, up, cancel, key, focus,
  };
};
