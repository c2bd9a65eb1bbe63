// Spans of tokens: choose tokens, then a type. How spans are written as labels (B-, I-, ...) is the server's affair.
"use strict";
errata.stages.tokens = (shell, sheet) => {
  const list = document.createElement("div"), words = sheet.tokens;
  let spans = [], start = 0, end = 0, dragging = false, fresh = true; // chosen: from start (where it began) to end, both included
  const typeAt = (some, place) => (some.find(({ tokens: [a, b] }) => a <= place && place < b) || {}).label;
  const doubtful = words.map((_, place) => typeAt(sheet.given, place) !== typeAt(sheet.proposed, place));
  const low = () => Math.min(start, end), high = () => Math.max(start, end);
  const at = (place) => spans.find((span) => span.from <= place && place < span.to);

  list.className = "words";
  list.dir = "auto";
  for (const [name, value] of Object.entries({ role: "listbox", "aria-multiselectable": "true", "aria-label": "Tokens" })) list.setAttribute(name, value);
  list.replaceChildren(...words.map((word, place) => {
    const item = document.createElement("span");
    item.setAttribute("role", "option");
    item.dataset.place = place;
    item.append(Object.assign(document.createElement("b"), { textContent: word }));
    item.classList.toggle("doubtful", doubtful[place]);
    return item;
  }));
  shell.board.append(list);

  function render() {
    [...list.children].forEach((item, place) => {
      const span = at(place), chosen = low() <= place && place <= high();
      item.classList.toggle("within", Boolean(span));
      item.classList.toggle("first", Boolean(span) && span.from === place);
      item.classList.toggle("last", Boolean(span) && span.to === place + 1);
      item.style.setProperty("--type", span ? shell.colour(span.label) : "transparent");
      item.dataset.type = span && span.from === place ? span.label : "";
      item.setAttribute("aria-selected", String(chosen));
      item.setAttribute("aria-label", `${words[place]}: ${span ? span.label : "none"}`);
      item.tabIndex = place === end ? 0 : -1;
    });
  }

  function say() {
    const span = at(low()), whole = span && span.from === low() && span.to === high() + 1;
    shell.say(`${words.slice(low(), high() + 1).join(" ")}${whole ? ` – ${span.label}` : ""}`);
    if (span) shell.show(span.label);
  }

  function focus() {
    const item = list.children[end];
    if (!item) return;
    item.focus({ preventScroll: true });
    item.scrollIntoView({ block: "nearest" });
  }

  function choose(from, to) {
    [start, end] = [from, to].map((place) => Math.min(Math.max(place, 0), words.length - 1));
    render();
    say();
    focus();
  }

  // A token of a span stands for all of it.
  const chooseWhole = (place) => {
    const span = at(place);
    if (span) choose(span.from, span.to - 1);
    else choose(place, place);
  };

  // What is chosen becomes a span of a type, or none; of spans that reach beyond it, the rest stays.
  function mark(label) {
    const before = spans, chosen = [start, end], from = low(), to = high() + 1;
    const rest = before.flatMap((span) => {
      if (span.to <= from || to <= span.from) return [span];
      return [{ ...span, to: from }, { ...span, from: to }].filter((one) => one.from < one.to);
    });
    const after = [...rest, ...(label === null ? [] : [{ label, from, to }])].sort((a, b) => a.from - b.from);
    const set = (some) => { spans = some; [start, end] = chosen; };
    set(after);
    shell.commit({ undo: () => set(before), redo: () => set(after) });
    render();
    say();
  }

  function key(event) {
    if (event.altKey || event.metaKey || event.ctrlKey) return false;
    const ahead = getComputedStyle(list).direction === "rtl" ? "ArrowLeft" : "ArrowRight";
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key] * (ahead === "ArrowRight" ? 1 : -1);
    if (event.key === "Home" || event.key === "End") {
      const place = event.key === "Home" ? 0 : words.length - 1;
      if (event.shiftKey) choose(start, place);
      else chooseWhole(place);
    } else if (event.key === "Backspace") { if (sheet.classless) mark(null); }
    else if (!way) return false;
    else if (event.shiftKey) choose(start, end + way);
    else chooseWhole(Math.min(Math.max(way > 0 ? high() + 1 : low() - 1, 0), words.length - 1));
    return true;
  }

  // -- mouse and fingers --------------------------------------------------------------------------------------------

  const placeOf = (element) => {
    const item = element && element.closest("[data-place]");
    return item && list.contains(item) ? Number(item.dataset.place) : null;
  };

  list.addEventListener("pointerdown", (event) => {
    const place = placeOf(event.target);
    if (event.button !== 0 || place === null) return;
    event.preventDefault();
    list.setPointerCapture(event.pointerId);
    dragging = true;
    if (event.shiftKey) choose(start, place);
    else choose(place, place);
  });
  list.addEventListener("pointermove", (event) => {
    const place = dragging ? placeOf(document.elementFromPoint(event.clientX, event.clientY)) : null;
    if (place !== null && place !== end) choose(start, place);
  });
  list.addEventListener("pointerup", (event) => {
    if (dragging && start === end && !event.shiftKey) chooseWhole(end);
    dragging = false;
  });
  list.addEventListener("pointercancel", () => { dragging = false; });

  const tools = [["a", "Mark", () => { if (shell.name !== null) mark(shell.name); focus(); }]];
  if (sheet.classless) tools.push(["Delete", "No entity", () => { mark(null); focus(); }]);
  tools.push(["<", "Shorter", () => choose(start, end === start ? end : end + (end > start ? -1 : 1))]);
  tools.push([">", "Longer", () => choose(start, end + (end < start ? -1 : 1))]);

  return {
    size: null,
    none: "none",
    tools,
    keys: "Choose tokens (drag, or click the first and Shift-click the last), then a type. A token of an entity chooses all of it. With keys: the arrows go from entity to entity or token to token, with Shift they choose more or less; a number gives the type, Delete takes it away. Tokens that look wrong are dotted.",
    load(shapes) { spans = shapes.map(({ label, tokens: [from, to] }) => ({ label, from, to })); },
    shapes: () => spans.map(({ label, from, to }) => ({ label, tokens: [from, to] })),
    choose(name) { mark(name); focus(); },
    escape() {
      if (start === end) return false;
      choose(end, end);
      return true;
    },
    down() {}, move() {}, up() {}, cancel() { dragging = false; },
    render, key,
    focus() {
      if (fresh) chooseWhole(Math.max(0, doubtful.indexOf(true)));
      fresh = false;
      focus();
    },
  };
};
