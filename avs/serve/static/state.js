// What the page shows, and its address: a question is the same JSON in the address, in the API and in the journal.

import { el } from "./dom.js";

export const FREE = "query"; // the topic of marks where a question belongs to none

const DEFAULTS = {
  parts: [], topic: null, by: [], fuse: "average", weights: {}, within_s: 30, filter: { videos: [], not_videos: [], hide: [], words: "", kinds: [] },
  group: "shot", duplicates: null, feedback: null, k: 1000,
};

export const state = {
  status: null, // GET /status
  topics: [], // GET /topics
  query: fresh(), answer: null, // the last line of the search, without its results, and with its topic
  marks: new Map(), // shot -> mark, of the topic
  basket: new Set(), // shots, of the topic
  sent: new Map(), // shot -> state of what was submitted, of the task of the evaluation
  sentVideos: new Set(), // videos of which a shot was submitted
  feedback: { method: "rocchio", simulate: false }, // how marks change a question
  last: null, // the answer before this one
};

const listeners = new Map();

/** Call `run` whenever `name` is told. */
export function on(name, run) { listeners.set(name, [...(listeners.get(name) ?? []), run]); }

/** Tell all who listen. */
export function tell(name, value) { for (const run of listeners.get(name) ?? []) run(value); }

/** A question without parts. */
export function fresh() { return structuredClone(DEFAULTS); }

/** The topic of marks. */
export function topicOf(query = state.query) { return query.topic ?? FREE; }

/** A question without what is as by default. */
export function compact(query, defaults = DEFAULTS) {
  const kept = {};
  for (const [name, value] of Object.entries(query)) {
    if (JSON.stringify(value) === JSON.stringify(defaults[name])) continue;
    kept[name] = name === "filter" ? compact(value, DEFAULTS.filter) : value;
  }
  return kept;
}

/** The question of an address; one that cannot be read is told, not guessed. */
export function queryOf(search) {
  const given = new URLSearchParams(search).get("query");
  const query = fresh();
  if (!given) return query;
  try {
    const read = JSON.parse(given);
    if (read === null || typeof read !== "object" || Array.isArray(read)) throw new SyntaxError("not an object");
    const objects = Array.isArray(read.parts ?? []) && (read.parts ?? []).every((part) => part && typeof part === "object");
    if (!objects || !Array.isArray(read.by ?? [])) throw new SyntaxError("parts or by are no lists");
    const filter = { ...query.filter, ...read.filter };
    return { ...query, ...read, filter };
  } catch (error) {
    tell("problem", { what: "the question in the address cannot be read", got: error.message });
    return query;
  }
}

/** The address of a question; `at` is the shot that has the focus. */
export function addressOf(query, at = null, path = "/") {
  const given = new URLSearchParams();
  const kept = compact(query);
  if (Object.keys(kept).length) given.set("query", JSON.stringify(kept));
  if (at) given.set("at", at);
  return given.size ? `${path}?${given}` : path;
}

/** Go to another address of the page, as a link would. */
export function go(address, { replace = false } = {}) {
  if (address === location.pathname + location.search) replace = true;
  history[replace ? "replaceState" : "pushState"]({ inside: true }, "", address);
  tell("address");
}

/** Keep the focused shot in the address, without a step back to it. */
export function keepAt(at) { history.replaceState(history.state, "", addressOf(state.query, at)); }

/** Back to the list, from another page. */
export function leavePage() {
  if (history.state?.inside) history.back();
  else go(addressOf(state.query));
}

/** A link within the page. */
export function link(text, address, props = {}) {
  const follow = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    go(address);
  };
  return el("a", { href: address, text, on: { click: follow }, ...props });
}

/** The words in the field of a question: parts with "<" between, -"..." for what shots should not look like. */
export function wordsOf(query) {
  return query.parts.map((part) => [wordOf(part), ...(part.minus ?? []).map(minusWord)].join(" ")).join(" < ");
}

function wordOf(part) {
  if (part.shot) return `shot:${part.shot}`;
  return part.image ? `image:${part.image}` : part.text;
}

function minusWord(minus) { return minus.shot ? `-shot:${minus.shot}` : `-"${minus.text}"`; }

/** The parts of a question that words mean. */
export function partsOf(words) { return words.split(/\s*<\s*/).filter((one) => one.trim()).map(partOf); }

function partOf(words) {
  const minus = [];
  const text = words.replace(/(^|\s)-(?:"([^"]+)"|shot:(\S+))/g, (_, space, not, shot) => {
    minus.push(shot ? { shot } : { text: not });
    return space;
  }).replace(/\s+/g, " ").trim();
  const [, kind, name] = /^(shot|image):(\S+)$/.exec(text) ?? [];
  const part = kind ? { [kind]: name } : { text };
  return minus.length ? { ...part, minus } : part;
}
