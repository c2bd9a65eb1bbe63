// The mask of a picture: a brush, an outline, or a whole area by a click, each with a class; by mouse, finger and keyboard.
// What is sent are the areas that differ from the given mask, as runs: just what is seen.
"use strict";
errata.stages.segmentation = (shell, sheet, image) => {
  const SVG = "http://www.w3.org/2000/svg";
  const [width, height] = sheet.size, names = sheet.names;
  const VOID = -1_000_000; // drawn to have no class; what has none in the data keeps its number
  const RADII = [0.5, 1.5, 2.5, 4, 6, 9, 14, 20, 30, 45, 70];
  const LEAST = 4; // pixels of the screen: a shorter way is a click
  const given = new Int32Array(width * height), SHOWN = { same: 85, changed: 185 };
  for (let i = 0, at = 0; i < sheet.mask.length; at += sheet.mask[i + 1], i += 2) given.fill(sheet.mask[i], at, at + sheet.mask[i + 1]);
  let mask = given.slice(), tool = "brush", radius = Math.min(4, RADII.length - 1), hidden = false;
  let gesture = null, outline = [], cursor = null, here = null;

  const canvas = document.createElement("canvas"), context = canvas.getContext("2d", { willReadFrequently: true });
  const marks = document.createElementNS(SVG, "svg"), desk = document.createElement("div");
  Object.assign(canvas, { width, height });
  desk.tabIndex = 0;
  desk.className = "desk";
  desk.setAttribute("role", "application");
  desk.setAttribute("aria-label", "Mask: the arrows move a cross, Space paints there");
  const [ring, line, cross] = ["circle", "polyline", "path"].map((name) => marks.appendChild(document.createElementNS(SVG, name)));
  desk.append(canvas, marks);
  shell.board.append(desk);

  const known = (code) => code >= 0 && code < names.length;
  const code = (name) => (name === null ? VOID : names.indexOf(name));
  const told = (value) => (known(value) ? names[value] : "no class");
  const colours = names.map((name) => {
    context.fillStyle = shell.colour(name);
    context.fillRect(0, 0, 1, 1);
    return context.getImageData(0, 0, 1, 1).data;
  });

  // -- the pixels ---------------------------------------------------------------------------------------------------

  function show(x0, y0, x1, y1) {
    if (x0 >= x1 || y0 >= y1) return;
    const picture = context.createImageData(x1 - x0, y1 - y0), data = picture.data;
    for (let y = y0, to = 0; y < y1; y++) {
      for (let x = x0; x < x1; x++, to += 4) {
        const at = y * width + x, value = mask[at];
        if (!known(value)) continue;
        const [r, g, b] = colours[value];
        data[to] = r; data[to + 1] = g; data[to + 2] = b;
        data[to + 3] = value === given[at] ? SHOWN.same : SHOWN.changed;
      }
    }
    context.putImageData(picture, x0, y0);
  }

  const put = (at, value) => { mask[at] = value === VOID && !known(given[at]) ? given[at] : value; };

  // Every pixel whose middle lies as near to the way from one point to another as the brush is thick.
  function stroke([ax, ay], [bx, by], value) {
    const r = RADII[radius], dx = bx - ax, dy = by - ay, long = dx * dx + dy * dy;
    const x0 = Math.max(0, Math.floor(Math.min(ax, bx) - r)), x1 = Math.min(width, Math.ceil(Math.max(ax, bx) + r) + 1);
    const y0 = Math.max(0, Math.floor(Math.min(ay, by) - r)), y1 = Math.min(height, Math.ceil(Math.max(ay, by) + r) + 1);
    for (let y = y0; y < y1; y++) {
      for (let x = x0; x < x1; x++) {
        const px = x + 0.5 - ax, py = y + 0.5 - ay;
        const share = long ? Math.min(1, Math.max(0, (px * dx + py * dy) / long)) : 0;
        if ((px - share * dx) ** 2 + (py - share * dy) ** 2 <= r * r) put(y * width + x, value);
      }
    }
    if (r < 1) { // the pixel itself, wherever in it the pointer is
      const x = Math.floor(bx), y = Math.floor(by);
      if (x >= 0 && y >= 0 && x < width && y < height) put(y * width + x, value);
    }
    show(x0, y0, x1, y1);
  }

  // Every pixel whose middle lies within the outline.
  function within(points, value) {
    for (let y = 0; y < height; y++) {
      const cuts = [];
      points.forEach(([ax, ay], i) => {
        const [bx, by] = points[(i + 1) % points.length], middle = y + 0.5;
        if (ay <= middle !== by <= middle) cuts.push(ax + ((middle - ay) / (by - ay)) * (bx - ax));
      });
      cuts.sort((a, b) => a - b);
      for (let i = 0; i + 1 < cuts.length; i += 2) {
        const from = Math.max(0, Math.ceil(cuts[i] - 0.5)), to = Math.min(width, Math.ceil(cuts[i + 1] - 0.5));
        for (let x = from; x < to; x++) put(y * width + x, value);
      }
    }
    show(0, 0, width, height);
  }

  // The area of one class around a point.
  function flood([px, py], value) {
    const x = Math.floor(px), y = Math.floor(py);
    if (x < 0 || y < 0 || x >= width || y >= height) return;
    const first = y * width + x, old = mask[first], seen = new Uint8Array(mask.length), open = [first];
    seen[first] = 1;
    const look = (at, there) => { if (there && !seen[at] && mask[at] === old) { seen[at] = 1; open.push(at); } };
    while (open.length) {
      const at = open.pop(), column = at % width;
      look(at - 1, column > 0);
      look(at + 1, column < width - 1);
      look(at - width, at >= width);
      look(at + width, at + width < mask.length);
    }
    for (let at = 0; at < seen.length; at++) if (seen[at]) put(at, value);
    show(0, 0, width, height);
  }

  // -- changes, of which only what changed is kept ------------------------------------------------------------------

  function around(before) {
    let x0 = width, y0 = height, x1 = 0, y1 = 0, count = 0;
    for (let y = 0, at = 0; y < height; y++) {
      for (let x = 0; x < width; x++, at++) {
        if (before[at] === mask[at]) continue;
        count++;
        if (x < x0) x0 = x;
        if (x >= x1) x1 = x + 1;
        if (y < y0) y0 = y;
        y1 = y + 1;
      }
    }
    return { x0, y0, x1, y1, count };
  }

  function cut(from, { x0, y0, x1, y1 }) {
    const some = new Int32Array((x1 - x0) * (y1 - y0));
    for (let y = y0; y < y1; y++) some.set(from.subarray(y * width + x0, y * width + x1), (y - y0) * (x1 - x0));
    return some;
  }

  function paste(some, { x0, y0, x1, y1 }) {
    for (let y = y0; y < y1; y++) mask.set(some.subarray((y - y0) * (x1 - x0), (y - y0 + 1) * (x1 - x0)), y * width + x0);
    show(x0, y0, x1, y1);
  }

  function commit(before, merge) {
    const place = around(before);
    if (!place.count) return shell.say("Nothing changes.");
    const old = cut(before, place), now = cut(mask, place);
    shell.commit({ undo: () => paste(old, place), redo: () => paste(now, place), merge });
    shell.say(`${place.count} ${place.count === 1 ? "pixel" : "pixels"}: ${shell.name === null ? "no class" : shell.name}`);
  }

  function act(paint, merge) {
    const before = mask.slice();
    paint(code(shell.name));
    commit(before, merge);
  }

  function close() {
    const points = outline;
    outline = [];
    if (points.length > 2) act((value) => within(points, value));
    drawMarks();
  }

  // -- what lies above the mask: the brush, the outline, the cross ----------------------------------------------------

  const set = (element, values) => { for (const [name, value] of Object.entries(values)) element.setAttribute(name, value); };

  function drawMarks() {
    const s = shell.scale, at = here || cursor;
    set(ring, { cx: at && tool === "brush" ? at[0] * s : -99, cy: at && tool === "brush" ? at[1] * s : -99, r: Math.max(1, RADII[radius] * s) });
    ring.style.stroke = shell.colour(shell.name);
    const points = outline.length && at && tool === "outline" && !gesture ? [...outline, at] : outline;
    set(line, { points: points.map(([x, y]) => `${x * s},${y * s}`).join(" ") });
    line.style.stroke = shell.colour(shell.name);
    set(cross, { d: cursor ? `M${cursor[0] * s - 12},${cursor[1] * s}h24m-12,-12v24` : "" });
  }

  function render() {
    canvas.classList.toggle("hidden", hidden);
    drawMarks();
  }

  function use(name) {
    tool = name;
    outline = [];
    drawMarks();
    desk.focus({ preventScroll: true });
  }

  function thicker(by) {
    radius = Math.min(Math.max(radius + by, 0), RADII.length - 1);
    shell.say(`Brush: ${Math.max(1, Math.round(2 * RADII[radius]))} pixels`);
    drawMarks();
  }

  // -- mouse and fingers --------------------------------------------------------------------------------------------

  const far = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]) * shell.scale;

  function down(at) {
    cursor = null;
    gesture = { from: at, last: at, before: tool === "brush" ? mask.slice() : null, drawn: [at] };
    if (tool === "brush") stroke(at, at, code(shell.name));
  }

  function move(at) {
    here = at;
    if (gesture && tool === "brush") stroke(gesture.last, at, code(shell.name));
    else if (gesture && tool === "outline" && !outline.length && far(at, gesture.last) >= LEAST) gesture.drawn.push(at);
    else return drawMarks();
    gesture.last = at;
    line.setAttribute("points", tool === "outline" ? gesture.drawn.map(([x, y]) => `${x * shell.scale},${y * shell.scale}`).join(" ") : "");
    line.style.stroke = shell.colour(shell.name);
    if (tool === "brush") drawMarks();
  }

  function up(at) {
    if (!gesture) return;
    const one = gesture;
    gesture = null;
    if (shell.coarse) here = null;
    if (tool === "brush") commit(one.before, null);
    else if (tool === "fill") act((value) => flood(at, value));
    else if (!outline.length && one.drawn.length > 2) { outline = one.drawn; close(); } // drawn around it in one go
    else if (outline.length > 2 && far(at, outline[0]) < (shell.coarse ? 24 : 10)) close();
    else outline.push(at);
    drawMarks();
    desk.focus({ preventScroll: true });
  }

  function cancel() {
    if (gesture && gesture.before) { mask = gesture.before; show(0, 0, width, height); }
    gesture = null;
    here = null;
    if (shell.scale) drawMarks();
  }

  // -- keys ---------------------------------------------------------------------------------------------------------

  const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  function key(event) {
    const way = WAYS[event.key];
    if (event.altKey || event.metaKey) return false;
    if (event.key === "Backspace" && outline.length) { outline.pop(); drawMarks(); return true; }
    if (event.key === "Enter" && outline.length) { close(); return true; }
    if (event.key === " " && !event.target.closest("button")) {
      if (!cursor) cursor = middle();
      if (tool === "brush") act((value) => stroke(cursor, cursor, value));
      else if (tool === "fill") act((value) => flood(cursor, value));
      else outline.push([...cursor]);
      drawMarks();
      return true;
    }
    if (!way) return false;
    here = null;
    const from = cursor || middle(), by = Math.max(1, Math.round(1 / shell.scale)) * (event.ctrlKey ? 10 : 1);
    const to = [Math.min(Math.max(from[0] + by * way[0], 0.5), width - 0.5), Math.min(Math.max(from[1] + by * way[1], 0.5), height - 0.5)];
    cursor = cursor ? to : from;
    if (event.shiftKey && tool === "brush") act((value) => stroke(from, cursor, value), "stroke");
    else shell.say(where(cursor));
    drawMarks();
    return true;
  }

  function middle() {
    const [x0, y0, x1, y1] = shell.seen;
    return [[x0 + x1, width], [y0 + y1, height]].map(([twice, side]) => Math.min(Math.max(Math.round(twice / 2), 0), side - 1) + 0.5);
  }

  const where = ([x, y]) => `${Math.floor(x)}, ${Math.floor(y)}: ${told(mask[Math.floor(y) * width + Math.floor(x)])}`;

  // -- as areas -----------------------------------------------------------------------------------------------------

  function load(shapes) {
    mask = given.slice();
    for (const { label, box: [x0, y0, x1, y1], runs } of shapes) {
      let inside = false, at = 0;
      for (const run of runs.split(" ").map(Number)) {
        if (inside) {
          for (let i = at; i < at + run; i++) put((y0 + Math.floor(i / (x1 - x0))) * width + x0 + (i % (x1 - x0)), code(label));
        }
        at += run;
        inside = !inside;
      }
    }
    outline = [];
    show(0, 0, width, height);
  }

  function shapes() {
    const places = new Map();
    for (let at = 0; at < mask.length; at++) {
      if (mask[at] === given[at]) continue;
      const x = at % width, y = Math.floor(at / width), place = places.get(mask[at]);
      if (!place) places.set(mask[at], [x, y, x + 1, y + 1]);
      else {
        if (x < place[0]) place[0] = x;
        if (x >= place[2]) place[2] = x + 1;
        place[3] = y + 1;
      }
    }
    return [...places].map(([value, [x0, y0, x1, y1]]) => {
      const runs = [];
      let inside = false, run = 0;
      for (let y = y0; y < y1; y++) {
        for (let x = x0; x < x1; x++) {
          const at = y * width + x;
          if ((mask[at] === value && given[at] !== value) !== inside) { runs.push(run); run = 0; inside = !inside; }
          run++;
        }
      }
      runs.push(run);
      return { label: known(value) ? names[value] : null, box: [x0, y0, x1, y1], runs: runs.join(" ") };
    });
  }

  return {
    size: sheet.size,
    none: "no class",
    tools: [
      ["b", "Brush", () => use("brush"), () => tool === "brush"],
      ["o", "Outline", () => use("outline"), () => tool === "outline"],
      ["f", "Fill", () => use("fill"), () => tool === "fill"],
      ["[", "Thinner", () => thicker(-1)],
      ["]", "Thicker", () => thicker(1)],
      ["h", "Hide", () => { hidden = !hidden; render(); }, () => hidden],
    ],
    keys: "Choose a class, then paint: with the brush; with an outline, drawn around an area or clicked corner by corner (Enter or the first corner closes it, Backspace takes a corner back); or by filling the area of one class around a click. With keys: the arrows move a cross (Ctrl: ten times as far), Space paints, fills or sets a corner there, Shift and arrows paint along. Two fingers zoom. What differs from the given mask is stronger.",
    load, shapes, render, down, move, up, cancel, key,
    hover(at) { here = at; cursor = null; if (at[0] >= 0 && at[1] >= 0 && at[0] < width && at[1] < height) shell.say(where(at)); drawMarks(); },
    choose() { drawMarks(); },
    escape() {
      if (!outline.length && !gesture) return false;
      outline = [];
      cancel();
      return true;
    },
    focus() { desk.focus({ preventScroll: true }); },
  };
};
