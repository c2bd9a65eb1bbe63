// Drawing a row's label: the dialog with its classes, zoom, undo and saving. What is drawn, and how, is a stage's affair
// (draw-boxes.js and its like): errata.stages[task](shell, sheet) gives an object with
//   size        width and height of the board in its own pixels; null where there is no picture
//   tools       [[key, name, what it does], ...], shown as buttons
//   load(shapes), shapes()   take over a label, and give what was drawn, both as the server tells them
//   render()    draw anew: the zoom has changed, or all else
//   down, move, up, cancel   a finger or a mouse at a point of the board
//   key(event), escape()     true where they did something
//   choose(name)             another class was chosen
"use strict";
window.errata = window.errata || { stages: {} };
(() => {
  const get = (id) => document.getElementById(id);
  const dialog = get("draw");
  if (!dialog) return;
  const area = get("draw-area"), board = get("draw-board"), select = get("draw-class"), chips = get("draw-chips");
  const CHIPS = 9, LARGE = 4096, MERGE = 800, HOLD = 240_000;
  let current = null; // the row that is drawn: its stage, its past, the zoom; kept while its page is
  let fingers = new Map(), pinch = null;

  const colour = (name) => {
    const place = current.sheet.names.indexOf(name);
    return place < 0 ? "hsl(0 0% 75%)" : `hsl(${(place * 137.5 + 10) % 360} 85% ${62 + 8 * (place % 2)}%)`;
  };

  // -- what stages use ----------------------------------------------------------------------------------------------

  const shell = {
    board,
    colour,
    get name() { return current.name; },
    get scale() { return current.scale; },
    get coarse() { return current.coarse; },
    // Something was done that undo() takes back; repeated at once on the same thing it is one step.
    commit(step) {
      const { past } = current, last = past[past.length - 1], now = performance.now();
      if (step.merge && last && last.merge === step.merge && now - last.when < MERGE && !current.future.length) {
        const { undo, redo } = last;
        Object.assign(last, { undo() { step.undo(); undo(); }, redo() { redo(); step.redo(); }, when: now });
      } else past.push({ ...step, when: now });
      current.future = [];
      current.dirty = true;
      buttons();
      if (now - current.seen > HOLD) { // who draws for long keeps the row
        current.seen = now;
        fetch(`/work?row=${encodeURIComponent(current.row)}`, { headers: { Accept: "application/json" } }).catch(() => {});
      }
    },
    // The part of the board that is seen: x0, y0, x1, y1.
    get seen() {
      const frame = area.getBoundingClientRect(), all = board.getBoundingClientRect(), s = current.scale;
      const from = [Math.max(frame.left, all.left) - all.left, Math.max(frame.top, all.top) - all.top];
      const to = [Math.min(frame.right, all.right) - all.left, Math.min(frame.bottom, all.bottom) - all.top];
      return [...from, ...to].map((value) => value / s);
    },
    say(text) { get("draw-said").textContent = text; },
    show(name) { current.name = name; classes(); },
  };

  function buttons() {
    get("draw-undo").disabled = !current.past.length;
    get("draw-redo").disabled = !current.future.length;
  }

  function step(from, to, what) {
    const one = current[from].pop();
    if (!one) return;
    one[what]();
    current[to].push({ ...one, merge: null });
    current.stage.render();
    if (!document.activeElement.closest("button, select")) current.stage.focus();
    buttons();
  }
  const undo = () => step("past", "future", "undo");
  const redo = () => step("future", "past", "redo");

  // -- classes ------------------------------------------------------------------------------------------------------

  const names = () => [...current.sheet.names, ...(current.stage.none && current.sheet.classless ? [null] : [])];

  function classes() {
    const all = names();
    const few = all.length <= CHIPS;
    select.parentElement.hidden = few;
    chips.hidden = !few;
    const told = (name) => (name === null ? current.stage.none : name);
    if (select.options.length !== all.length) select.replaceChildren(...all.map((name) => new Option(told(name), name === null ? "" : name)));
    select.value = current.name === null ? "" : current.name;
    get("draw-swatch").style.background = colour(current.name);
    if (!few) return;
    chips.replaceChildren(...all.map((name, place) => {
      const chip = document.createElement("button"), swatch = document.createElement("i");
      chip.type = "button";
      chip.className = "chip";
      chip.setAttribute("aria-pressed", String(name === current.name));
      swatch.style.background = colour(name);
      chip.append(swatch, told(name), Object.assign(document.createElement("kbd"), { textContent: place + 1 }));
      chip.addEventListener("click", () => choose(name));
      return chip;
    }));
  }

  function choose(name) {
    current.name = name;
    classes();
    current.stage.choose(name);
  }

  select.addEventListener("change", () => { choose(names()[select.selectedIndex]); });

  // -- the picture and its zoom -------------------------------------------------------------------------------------

  function zoom(scale, x, y) {
    const { size } = current.stage;
    if (!size) return;
    const frame = area.getBoundingClientRect();
    const px = x === undefined ? frame.width / 2 : x - frame.left, py = y === undefined ? frame.height / 2 : y - frame.top;
    const old = current.scale || current.fit;
    const at = [(area.scrollLeft + px) / old, (area.scrollTop + py) / old];
    current.scale = Math.min(Math.max(scale, current.fit), Math.max(40, current.fit));
    board.style.width = `${size[0] * current.scale}px`;
    board.style.height = `${size[1] * current.scale}px`;
    area.scrollLeft = at[0] * current.scale - px;
    area.scrollTop = at[1] * current.scale - py;
    const picture = board.querySelector("img");
    if (picture && current.scale * size[0] > 1.3 * picture.naturalWidth && picture.dataset.large) { // look closer
      picture.src = picture.dataset.large;
      delete picture.dataset.large;
    }
    current.stage.render();
  }

  function fit() {
    const { size } = current.stage;
    if (!size) return;
    const all = current.scale === current.fit;
    current.fit = Math.min(area.clientWidth / size[0], area.clientHeight / size[1]);
    if (all || !current.scale) zoom(current.fit);
  }
  new ResizeObserver(() => { if (current && dialog.open) { fit(); current.stage.render(); } }).observe(area);

  function point(event) {
    const frame = board.getBoundingClientRect();
    return [(event.clientX - frame.left) / current.scale, (event.clientY - frame.top) / current.scale];
  }

  const middle = () => {
    const [a, b] = [...fingers.values()];
    return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, far: Math.hypot(a.x - b.x, a.y - b.y) };
  };

  board.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !current.stage.size) return;
    event.preventDefault();
    board.setPointerCapture(event.pointerId);
    current.coarse = event.pointerType === "touch";
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (fingers.size === 2) {
      current.stage.cancel();
      pinch = { ...middle(), scale: current.scale };
    } else if (fingers.size === 1) current.stage.down(point(event), event);
  });
  board.addEventListener("pointermove", (event) => {
    if (!current || !fingers.has(event.pointerId)) {
      if (current && current.stage.hover) current.stage.hover(point(event));
      return;
    }
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (pinch && fingers.size === 2) {
      const now = middle();
      area.scrollLeft -= now.x - pinch.x;
      area.scrollTop -= now.y - pinch.y;
      zoom((pinch.scale * now.far) / Math.max(pinch.far, 1), now.x, now.y);
      Object.assign(pinch, { x: now.x, y: now.y });
    } else if (!pinch) current.stage.move(point(event), event);
  });
  const lifted = (event) => {
    if (!fingers.delete(event.pointerId) || !current) return;
    if (pinch) { if (!fingers.size) pinch = null; }
    else if (event.type === "pointerup") current.stage.up(point(event), event);
    else current.stage.cancel();
  };
  board.addEventListener("pointerup", lifted);
  board.addEventListener("pointercancel", lifted);
  area.addEventListener("wheel", (event) => {
    if (!event.ctrlKey || !current.stage.size) return;
    event.preventDefault();
    zoom(current.scale * Math.exp(-event.deltaY / 300), event.clientX, event.clientY);
  }, { passive: false });

  function picture(sheet, row) {
    const image = document.createElement("img"), address = `/image?plain=true&row=${encodeURIComponent(row)}&side=`;
    image.alt = "";
    image.draggable = false;
    image.src = address + 1600;
    image.dataset.large = address + LARGE;
    return new Promise((done, fail) => {
      image.onload = () => done(image);
      image.onerror = () => fail(new Error("The picture can't be read."));
    });
  }

  // -- opening and saving -------------------------------------------------------------------------------------------

  function trouble(text) {
    get("draw-trouble").textContent = text;
    get("draw-trouble").hidden = !text;
  }
  errata.trouble = trouble;
  errata.shown = () => { if (current && !current.saving) current = null; }; // something else was decided

  // What is drawn and not saved is told beside the button.
  function unsaved() {
    const button = document.querySelector("#work button.draw");
    if (button) button.classList.toggle("unsaved", Boolean(current && current.dirty));
  }

  async function open(form) {
    const row = form.dataset.row;
    trouble("");
    if (!current || current.row !== row) {
      current = null;
      board.replaceChildren();
      const answer = await fetch(`/sheet?row=${encodeURIComponent(row)}`, { headers: { Accept: "application/json" } });
      const sheet = await answer.json();
      if (!answer.ok) throw new Error(sheet.error);
      const image = sheet.task === "tokens" ? null : await picture(sheet, row);
      if (get("decide") !== form) return;
      if (image) board.append(image);
      current = { row, sheet, past: [], future: [], scale: 0, fit: 1, name: sheet.names[0], dirty: false, seen: performance.now() };
      board.style.width = board.style.height = "";
      board.className = sheet.task;
      current.stage = errata.stages[sheet.task](shell, sheet, image);
      current.stage.load(sheet.own || sheet.proposed);
      tools();
      select.replaceChildren();
    }
    get("draw-title").textContent = `Row ${row}`;
    get("draw-own").hidden = !current.sheet.own;
    get("draw-zoom").hidden = !current.stage.size;
    dialog.showModal();
    classes();
    buttons();
    fit();
    current.stage.render();
    current.stage.focus();
  }

  function tools() {
    get("draw-tools").replaceChildren(...current.stage.tools.map(([key, name, does, pressed]) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(name, " ", Object.assign(document.createElement("kbd"), { textContent: key }));
      if (pressed) button.setAttribute("aria-pressed", String(pressed()));
      button.addEventListener("click", () => { does(); tools(); });
      return button;
    }));
    get("draw-keys").textContent = current.stage.keys;
  }
  shell.tools = tools;

  function begin(which) {
    const before = current.stage.shapes(), after = current.sheet[which];
    current.stage.load(after);
    shell.commit({ undo: () => current.stage.load(before), redo: () => current.stage.load(after) });
    current.stage.render();
    current.stage.focus();
  }

  async function save() {
    if (current.saving) return;
    const one = current, shapes = JSON.stringify(one.stage.shapes());
    if (String(new URLSearchParams({ shapes })).length > Number(dialog.dataset.most)) { // the server would hang up
      return trouble("This is more than can be saved at once. Begin as given, and draw less.");
    }
    one.saving = true;
    dialog.setAttribute("aria-busy", "true");
    const failed = await errata.send({ action: "draw", shapes });
    one.saving = false;
    dialog.removeAttribute("aria-busy");
    if (failed) return trouble(failed);
    current = null; // the answer has brought the next row
    dialog.close();
    const title = get("row-title");
    if (title) title.focus({ preventScroll: true });
  }

  get("draw-undo").addEventListener("click", undo);
  get("draw-redo").addEventListener("click", redo);
  get("draw-given").addEventListener("click", () => begin("given"));
  get("draw-proposed").addEventListener("click", () => begin("proposed"));
  get("draw-own").addEventListener("click", () => begin("own"));
  get("draw-in").addEventListener("click", () => zoom(1.5 * current.scale));
  get("draw-out").addEventListener("click", () => zoom(current.scale / 1.5));
  get("draw-fit").addEventListener("click", () => zoom(current.fit));
  get("draw-save").addEventListener("click", save);
  dialog.addEventListener("click", (event) => { if (event.target.closest("[data-close]")) dialog.close(); });
  dialog.addEventListener("close", () => { fingers = new Map(); pinch = null; if (current) current.stage.cancel(); unsaved(); });

  get("work").addEventListener("click", (event) => {
    const button = event.target.closest("button.draw");
    if (button) open(button.form).catch((error) => errata.told(`It can't be drawn. ${error.message}`));
  });
  window.addEventListener("beforeunload", (event) => { if (current && current.dirty) event.preventDefault(); });

  // -- keys ---------------------------------------------------------------------------------------------------------

  const ZOOMS = { "+": 1.5, "=": 1.5, "-": 1 / 1.5 };

  document.addEventListener("keydown", (event) => { // the focus may be nowhere, where what had it is gone
    if (!current || !dialog.open || event.isComposing) return;
    const key = event.key, plain = !(event.ctrlKey || event.metaKey || event.altKey);
    const typing = event.target.closest("select, input");
    const pressing = event.target.closest("button, summary");
    const tool = plain && current.stage.tools.find(([name]) => name.toLowerCase() === key.toLowerCase());
    if (key === "Escape") { if (!current.stage.escape()) return; }
    else if (typing) return;
    else if ((event.ctrlKey || event.metaKey) && key.toLowerCase() === "z") (event.shiftKey ? redo : undo)();
    else if (plain && key === "Enter" && pressing) return;
    else if (current.stage.key(event)) { /* it did something */ }
    else if (plain && key === "Enter") save();
    else if (tool) { if (!event.repeat) { tool[2](); tools(); } }
    else if (plain && key === "u") undo();
    else if (plain && key === "y") redo();
    else if (plain && key === "0") zoom(current.fit);
    else if (plain && ZOOMS[key]) zoom(ZOOMS[key] * current.scale);
    else if (plain && /^[1-9]$/.test(key) && Number(key) <= names().length) choose(names()[Number(key) - 1]);
    else return;
    event.preventDefault();
  });
})();
