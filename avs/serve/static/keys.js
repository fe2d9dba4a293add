// What keys do: keys.json has all of them, for help and for the server too. None works in a field for text but Enter and Escape.

import KEYS from "./keys.json" with { type: "json" }; // action -> [keys, words, heading]
import { state } from "./state.js";

export { KEYS };
const SHOWN = { " ": "Space", Escape: "Esc", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓",
  PageUp: "PgUp", PageDown: "PgDn" };
const TEXT = "input:not([type=checkbox]):not([type=file]), textarea, [contenteditable]";
const PRESSED = new Set([" ", "Enter"]);

/** The keys of an action, with those of the config. */
export function keysOf(action) {
  const own = state.status?.keys?.[action];
  return own ? [own] : KEYS[action][0];
}

/** A key in words. */
export function shown(key) { return key.split(/\+(?=.)/).map((one) => SHOWN[one] ?? one).join(" "); }

/** The action of a key that was pressed, or null. */
export function actionOf(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return null;
  const wide = event.key.length > 1 || event.key === " ";
  const key = event.shiftKey && wide ? `Shift+${event.key}` : event.key;
  const action = Object.keys(KEYS).find((one) => keysOf(one).includes(key)) ?? null;
  const target = event.target.closest?.bind(event.target) ?? (() => null);
  if (target(TEXT)) return action === "search" || action === "leave" ? action : null;
  if (target("select")) return action === "leave" ? action : null;
  if (target("button, a, summary, input") && PRESSED.has(event.key)) return null;
  return action;
}

/** Let keys do what `actions` (action -> function of event and key) say; one that gives false leaves it to the browser. */
export function listenToKeys(actions) {
  document.addEventListener("keydown", (event) => {
    const action = actionOf(event);
    const run = action && actions()[action];
    if (run && run(event, event.key) !== false) event.preventDefault();
  });
}
