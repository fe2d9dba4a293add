// The map of keys, from the very object that the page listens by.

import { button, el, muted } from "./dom.js";
import { KEYS, keysOf, shown } from "./keys.js";

/** A dialog with all keys. */
export function helpDialog() {
  const headings = [...new Set(Object.values(KEYS).map(([, , heading]) => heading))];
  const row = ([action, [, words]]) => el("div", { "data-action": action },
    el("dt", {}, keysOf(action).map((key) => el("kbd", { text: shown(key) }))), el("dd", { text: words }));
  const part = (heading) => el("section", {}, el("h3", { text: heading }),
    el("dl", {}, Object.entries(KEYS).filter(([, [, , one]]) => one === heading).map(row)));
  const node = el("dialog", { class: "help", "aria-labelledby": "help-title" },
    el("header", {}, el("h2", { id: "help-title", text: "Keys" }), button("Close", () => node.close())),
    el("div", { class: "columns" }, headings.map(part)),
    muted('Words: "a < b" looks for a and then b in one video; -"night" is what it should not look '
      + "like; shot:shot00012_3 is a shot. Shift-click plays large, Shift with the wheel moves by frames."));
  return node;
}
