// Elements by createElement and text by textContent alone, so that no text of a collection can become markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element. Of `props`: `class`, `text`, `on` (event -> function), properties of the element, and attributes. */
export function el(tag, props = {}, ...children) { return filled(document.createElement(tag), props, children); }

/** An element of SVG. */
export function svg(tag, props = {}, ...children) { return filled(document.createElementNS(SVG, tag), props, children); }

function filled(node, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") node.setAttribute("class", value);
    else if (name === "text") node.textContent = value;
    else if (name === "on") for (const [event, run] of Object.entries(value)) node.addEventListener(event, run);
    else if (value === true) node.setAttribute(name, name.startsWith("aria-") ? "true" : "");
    else node.setAttribute(name, String(value));
  }
  node.append(...given(children));
  return node;
}

/** Give an element other children. */
export function fill(node, ...children) {
  node.replaceChildren(...given(children));
  return node;
}

function given(children) { return children.flat(Infinity).filter((child) => child !== null && child !== undefined); }

/** Words that are not the first to read. */
export function muted(text) { return el("p", { class: "muted", text }); }

/** A button with words. */
export function button(text, run, props = {}, ...children) {
  return el("button", { type: "button", text, on: { click: run }, ...props }, children);
}

/** A button that is pressed or not. */
export function pressed(text, is, run, props = {}) { return button(text, run, { class: "toggle", "aria-pressed": String(is), ...props }); }

/** A list to choose from. `options` are [value, words]. */
export function select(label, options, value, run = () => null) {
  const node = el("select", { "aria-label": label, on: { change: () => run(node.value) } });
  fill(node, [...options].map(([key, words]) => el("option", { value: key, text: words })));
  node.value = value;
  return node;
}

/** A field of an <input>; `run` gets it when it has changed to something valid. */
export function field(type, label, props = {}, run = () => null) {
  const node = el("input", { type, "aria-label": label, ...props });
  node.addEventListener("change", () => node.checkValidity() && run(node));
  return node;
}

/** A table. A row is its heading and its cells; any of them is a text, a node, or a cell of its own. */
export function table(heads, rows, props = {}) {
  const plain = (one) => (one instanceof Node ? one : String(one ?? "–"));
  const cell = (tag, scope) => (one) => (one instanceof HTMLTableCellElement ? one : el(tag, { scope }, plain(one)));
  const line = ([head, ...cells]) => el("tr", {}, cell("th", "row")(head), cells.map(cell("td")));
  return el("table", props, el("thead", {}, el("tr", {}, heads.map(cell("th", "col")))), el("tbody", {}, rows.map(line)));
}

/** Names with values. */
export function pairs(rows, props = {}) {
  return el("dl", props, rows.map(([name, value, kind]) => el("div", { class: kind }, el("dt", { text: name }), el("dd", { text: value }))));
}

/** Open a dialog with a heading; it is gone when it is closed. */
export function openDialog(title, kind, ...children) {
  const node = el("dialog", { class: kind, "aria-label": title, on: { close: () => node.remove() } },
    el("header", {}, el("h2", { text: title }), button("Close", () => node.close())), children);
  document.body.append(node);
  node.showModal();
  return node;
}

const numbers = new Intl.NumberFormat("en");

/** 1425454 -> 1,425,454 */
export function number(value) { return numbers.format(value); }

/** 1 shot, 2 shots */
export function some(count, word) { return `${number(count)} ${word}${count === 1 ? "" : "s"}`; }

/** Seconds as minutes and seconds. */
export function clock(seconds) {
  if (seconds === null || seconds === undefined) return "";
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}.${Math.floor((seconds - whole) * 10)}`;
}

/** Run `work` when it was not called for a while. */
export function after(milliseconds, work) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), milliseconds);
  };
}
