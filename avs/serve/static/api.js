// Calls of the HTTP API (docs/serve_api.json). An error is an AvsError as the command line prints it.

import { tell } from "./state.js";

const BASE = "/api/v1";
const RETRY_MS = 1000;
const KINDS = ["loading", "ready", "marks", "basket", "submission", "task", "timer"];

/** What the server refused. `error` is {what, where, got, wanted, next_step}. */
export class Refused extends Error {
  constructor(error, status) {
    super(error.what);
    this.error = error;
    this.status = status;
  }
}

// a page has one question at a time
const HEADERS = { "Content-Type": "application/json", "Avs-Session": Math.random().toString(36).slice(2) };

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(BASE + path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    lost();
    throw new Error("the server cannot be reached");
  }
  if (response.ok) return response;
  const told = await response.json().catch(() => null); // without JSON the status is all there is to tell
  throw new Refused(told?.error ?? { what: `the server answered ${response.status}` }, response.status);
}

/** GET, as JSON. */
export async function get(path) { return (await ask(path)).json(); }

/** POST or DELETE with JSON, as JSON. */
export async function send(path, body, { method = "POST", signal = null } = {}) {
  return (await ask(path, { method, headers: HEADERS, body: JSON.stringify(body), signal })).json();
}

/** Give a picture to search with. */
export async function upload(file) {
  return (await ask("/uploads", { method: "POST", headers: { "Content-Type": file.type }, body: file })).json();
}

let running = null;

/** Ask a question; `take` gets each answer. A newer question ends an older one, whose answers are never taken. */
export async function search(query, take) {
  running?.abort();
  const mine = new AbortController();
  running = mine;
  const response = await ask("/search", { method: "POST", headers: HEADERS, body: JSON.stringify(query), signal: mine.signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (mine.signal.aborted) return;
    const lines = (rest + (value ?? "")).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line && running === mine) take(JSON.parse(line));
    if (done) return;
  }
}

/** End the question that is asked. */
export function cancel() {
  running?.abort();
  running = null;
}

/** The token of the address (#t=...) becomes a cookie, and leaves the address. */
export async function exchangeToken() {
  const found = /^#t=(.+)$/.exec(location.hash);
  if (!found) return;
  history.replaceState(null, "", location.pathname + location.search);
  await send("/token", { token: decodeURIComponent(found[1]) });
}

let away = false;

/** The server is gone: say so, and ask until it is there again. */
function lost() {
  if (away) return;
  away = true;
  tell("gone");
  const again = async () => {
    try {
      await fetch(`${BASE}/status`);
      away = false;
      tell("back");
    } catch {
      setTimeout(again, RETRY_MS);
    }
  };
  setTimeout(again, RETRY_MS);
}

/** Listen to what happens in the server, while the page is seen: a browser has few connections for all its pages. */
export function listen(take) {
  let source = null;
  const open = () => {
    source?.close();
    source = null;
    if (document.hidden) return;
    source = new EventSource(`${BASE}/events`);
    for (const kind of KINDS) source.addEventListener(kind, (event) => take(JSON.parse(event.data)));
    source.addEventListener("error", () => (source?.readyState === EventSource.CLOSED ? setTimeout(open, RETRY_MS) : lost()));
  };
  document.addEventListener("visibilitychange", () => {
    open();
    if (!document.hidden) take({ kind: "seen" });
  });
  open();
}

/** The address of a picture of a shot; `w` is 160 or 480. */
export function keyframe(shot, w) { return `/media/keyframe/${encodeURIComponent(shot)}.jpg?w=${w}`; }

/** The address of frames of a shot side by side: 8 or 24, each 160 pixels wide. */
export function sprite(shot, frames) { return `/media/sprite/${encodeURIComponent(shot)}.jpg?frames=${frames}`; }

const kept = new Map();

/** Facts of a shot or video, asked once. */
export function facts(path) {
  if (!kept.has(path)) {
    const asked = get(path);
    kept.set(path, asked);
    asked.catch(() => kept.delete(path));
    if (kept.size > 500) kept.delete(kept.keys().next().value);
  }
  return kept.get(path);
}
