// The map of keys and of the signs on tiles, from the very objects that the page uses.

import { el, muted, openDialog } from "./dom.js";
import { KEYS, keysOf, shown } from "./keys.js";
import { state } from "./state.js";
import { MINE, SENT, THEIRS } from "./tile.js";

/** Open a dialog with all keys. */
export function showHelp() {
  const headings = [...new Set(Object.values(KEYS).map(([, , heading]) => heading))];
  const row = ([action, [, words]]) => el("div", { "data-action": action },
    el("dt", {}, keysOf(action).map((key) => el("kbd", { text: shown(key) }))), el("dd", { text: words }));
  const part = (heading, rows) => el("section", {}, el("h3", { text: heading }), el("dl", {}, rows));
  const signs = (all, kind) => Object.values(all).map(([glyph, , words]) => el("div", {},
    el("dt", {}, el("span", { class: `sign ${kind}`, text: glyph })), el("dd", { text: words })));
  openDialog("Keys", "help", el("div", { class: "columns" },
    headings.map((heading) => part(heading, Object.entries(KEYS).filter(([, [, , one]]) => one === heading).map(row))),
    part("Signs", [signs(MINE, "round"), state.status.qrels ? signs(THEIRS, "plain") : null, state.status.dres ? signs(SENT, "square") : null])),
  muted('Words: "a < b" looks for a and then b in one video; -"night" is what it should not look like; shot:shot00012_3 is a shot. '
    + "Shift-click plays large, Shift with the wheel moves by frames, Alt-click submits."));
}
