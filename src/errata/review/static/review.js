// What the page does beyond plain forms: one key per decision, a list of classes to type in, larger pictures, and no
// decision lost where the network fails for a while. Everything it shows comes escaped from the server, or as text.
"use strict";
window.errata = window.errata || { stages: {} };
(() => {
  document.documentElement.classList.add("js");
  const work = document.getElementById("work");
  const first = document.querySelector("input[autofocus]");
  if (first) first.select();
  if (!work) return;
  const get = (id) => document.getElementById(id);
  const picker = get("picker"), find = get("find"), found = get("found"), zoom = get("zoom");
  const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
  let busy = false;

  // -- speaking to the server ---------------------------------------------------------------------------------------

  function trouble(text) {
    get("trouble").textContent = text;
    get("trouble").hidden = !text;
    if (errata.trouble) errata.trouble(text); // a dialog may lie above
  }

  function show(answer) {
    work.innerHTML = answer.html;
    if (errata.shown) errata.shown();
    trouble("");
    const row = get("decide") ? get("decide").dataset.row : null;
    const title = get("row-title");
    document.title = (row === null ? "Nothing left" : `Row ${row}`) + " – errata review";
    get("live").textContent = `${answer.said || ""} ${title ? title.innerText : ""}`;
    if (title) title.focus({ preventScroll: true });
    if (answer.address) history.replaceState(null, "", answer.address);
    window.scrollTo(0, 0);
    pixels();
    poll();
  }

  // Sent until there is an answer: the form has a key of its own, so that it counts once however often it arrives.
  // What is wrong with it is shown, and given back; "" where nothing is.
  async function send(form, fields) {
    if (busy) return "Another decision is being saved.";
    busy = true;
    work.setAttribute("aria-busy", "true");
    const body = new URLSearchParams(new FormData(form));
    for (const [name, value] of Object.entries(fields)) body.set(name, value);
    try {
      for (let pause = 500; ; pause = Math.min(2 * pause, 8000)) {
        let response;
        try {
          response = await fetch(form.getAttribute("action"), { method: "POST", body, headers: { Accept: "application/json" } });
        } catch {
          trouble("Not saved yet: the server does not answer. Trying again …");
          await wait(pause);
          continue;
        }
        const answer = await response.json().catch(() => ({ error: "The server's answer can't be read. Reload the page." }));
        const wrong = response.ok && !answer.error ? "" : `Not saved. ${answer.error}`;
        if (wrong) trouble(wrong);
        else show(answer);
        return wrong;
      }
    } finally {
      busy = false;
      work.removeAttribute("aria-busy");
    }
  }

  errata.send = (fields) => send(get("decide"), fields);
  errata.told = trouble;

  const decide = (action, label) => get("decide") && send(get("decide"), label === undefined ? { action } : { action, label });

  work.addEventListener("submit", (event) => {
    event.preventDefault();
    if (event.target.id === "undo") send(event.target, {});
    else if (event.submitter && event.submitter.value) decide(event.submitter.value);
  });

  // The data may still be being read when the page comes.
  async function poll() {
    const form = get("decide");
    if (!form || form.dataset.state !== "reading") return;
    await wait(1000);
    if (busy || get("decide") !== form) return poll();
    const query = new URLSearchParams(form.dataset.query);
    query.set("row", form.dataset.row);
    try {
      const response = await fetch(`/work?${query}`, { headers: { Accept: "application/json" } });
      if (response.ok && !busy && get("decide") === form) {
        const note = form.elements.note.value;
        const typing = document.activeElement === form.elements.note;
        work.innerHTML = (await response.json()).html;
        get("decide").elements.note.value = note;
        if (typing) get("decide").elements.note.focus();
        pixels();
      }
    } catch { /* the server is away; try again */ }
    poll();
  }

  // -- choosing a class ---------------------------------------------------------------------------------------------

  const SHOWN = 200;
  const classes = [...document.querySelectorAll("#plain option")].map((option) => option.text);
  const digits = classes.every((name) => /^\d$/.test(name));
  const numbered = digits || !classes.some((name) => /^\d/.test(name));
  let matching = [], selected = 0;
  const free = () => get("decide") && "free" in get("decide").dataset;  // numbers, say: there is no list of classes

  const keyOf = (name, place) => (digits ? name : numbered && !find.value && place < 9 ? String(place + 1) : "");

  function list(prefer) {
    const typed = find.value.trim().toLowerCase();
    const starts = classes.filter((name) => name.toLowerCase().startsWith(typed));
    const holds = classes.filter((name) => !name.toLowerCase().startsWith(typed) && name.toLowerCase().includes(typed));
    matching = starts.concat(holds);
    const exact = matching.findIndex((name) => name.toLowerCase() === typed);
    selected = Math.max(0, prefer === undefined ? exact : matching.indexOf(prefer));
    const more = matching.length - SHOWN;
    get("found-more").textContent = free() ? "Enter takes what is typed." : !matching.length ? "There is no such class." : more > 0 ? `${more} more: type to narrow` : "";
    found.replaceChildren(...matching.slice(0, SHOWN).map((name, place) => {
      const item = document.createElement("li");
      const shortcut = keyOf(name, place);
      item.id = `class-${place}`;
      item.setAttribute("role", "option");
      item.append(Object.assign(document.createElement("span"), { textContent: name }));
      if (shortcut) item.append(Object.assign(document.createElement("kbd"), { textContent: shortcut }));
      item.addEventListener("click", () => choose(name));
      return item;
    }));
    mark();
  }

  function mark() {
    [...found.children].forEach((item, place) => item.setAttribute("aria-selected", String(place === selected)));
    const item = found.children[selected];
    find.setAttribute("aria-activedescendant", item ? item.id : "");
    if (item) item.scrollIntoView({ block: "nearest" });
  }

  function choose(name) {
    picker.close();
    decide("relabel", name);
  }

  function open() {
    const form = get("decide");
    if (!form || busy) return;
    find.value = free() ? form.dataset.proposed : "";
    picker.showModal();
    if (free()) find.select();
    list(form.dataset.proposed);
    find.focus();
  }

  find.addEventListener("input", () => list());
  find.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    const place = matching.findIndex((name, i) => keyOf(name, i) === event.key);
    const last = Math.min(matching.length, SHOWN) - 1;
    if (event.key === "Enter") {
      if (free()) { if (find.value.trim()) choose(find.value.trim()); }
      else if (matching[selected] !== undefined) choose(matching[selected]);
    }
    else if (event.key === "ArrowDown") { selected = Math.min(selected + 1, last); mark(); }
    else if (event.key === "ArrowUp") { selected = Math.max(selected - 1, 0); mark(); }
    else if (!find.value && /^\d$/.test(event.key) && place >= 0) choose(matching[place]);
    else return;
    event.preventDefault();
  });

  // -- pictures -----------------------------------------------------------------------------------------------------

  function pixels() {
    const picture = work.querySelector(".picture img");
    if (!picture) return;
    const look = () => picture.classList.toggle("small", picture.naturalWidth > 0 && picture.naturalWidth <= 128);
    picture.addEventListener("load", look);
    picture.addEventListener("error", () => { picture.alt = "The picture can't be read."; });
    look();
  }

  function enlarge() {
    const link = get("picture");
    if (!link) return;
    const large = zoom.querySelector("img"), small = link.querySelector("img");
    large.src = link.href;
    large.alt = small.alt;
    large.className = small.className;
    zoom.showModal();
  }

  work.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (event.target.closest("#picture") && !event.ctrlKey && !event.metaKey) { event.preventDefault(); enlarge(); }
    else if (button && button.classList.contains("propose")) decide("relabel", button.dataset.label);
    else if (button && button.classList.contains("relabel")) open();
  });
  zoom.addEventListener("click", () => zoom.close());
  picker.addEventListener("click", (event) => { if (event.target === picker || event.target.closest("[data-close]")) picker.close(); });

  // -- keys ---------------------------------------------------------------------------------------------------------

  const keys = get("keys");
  const remembered = (value) => {
    try { return value === undefined ? localStorage.getItem("errata-keys") : localStorage.setItem("errata-keys", value); }
    catch { return null; }
  };
  keys.checked = remembered() !== "off";
  keys.addEventListener("change", () => remembered(keys.checked ? "on" : "off"));

  document.addEventListener("keydown", (event) => {
    const field = event.target.closest("input:not([type=checkbox]), select, textarea");
    if (field && field.name === "note" && (event.key === "Enter" || event.key === "Escape")) {
      event.preventDefault(); // a note is no decision
      get("row-title").focus({ preventScroll: true });
      return;
    }
    const plain = !(event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.isComposing);
    if (field || !plain || !keys.checked || document.querySelector("dialog[open]")) return;
    const key = event.key.toLowerCase();
    const button = work.querySelector(`button[data-key="${CSS.escape(key)}"]`);
    const link = { arrowleft: "before", arrowright: "after" }[key];
    if (button) { if (!button.disabled) button.click(); }
    else if (key === "z") enlarge();
    else if (key === "n" && get("decide")) get("decide").elements.note.focus();
    else if (link && get(link)) get(link).click();
    else return;
    event.preventDefault();
  });

  pixels();
  poll();
})();
