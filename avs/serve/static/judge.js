// Marks of shots: shown at once, kept until the server has them, undone in the order they were made.

import { Refused, get, send } from "./api.js";
import { state, tell, topicOf } from "./state.js";

const KEPT = "avs-marks:"; // with a name of each page: what the server does not have yet
const [OWN, OWN_BASKET] = ["avs-own-marks:", "avs-own-basket:"]; // of a visitor of a read-only server
const AGAIN_MS = 2000;
const LATE_MS = 10_000;

const mine = KEPT + Math.random().toString(36).slice(2);
const queue = Object.keys(localStorage).filter((key) => key.startsWith(KEPT)).flatMap(takeOver);
let sending = false;
let putting = Promise.resolve(); // the basket on its way to the server
let made = 0; // marks and baskets that this page has changed
const done = []; // {event, topic, before} of this page, for undo

/** What another page has kept: an event that two pages send counts once. */
function takeOver(key) {
  const kept = JSON.parse(localStorage.getItem(key));
  localStorage.removeItem(key);
  return kept;
}

function keep() {
  if (queue.length) localStorage.setItem(mine, JSON.stringify(queue));
  else localStorage.removeItem(mine);
}

/** Fetch the marks and the basket of the topic. */
export async function loadMarks(topic = topicOf()) {
  if (state.status.read_only) {
    state.marks = new Map(JSON.parse(localStorage.getItem(OWN + topic) ?? "[]"));
    state.basket = new Set(JSON.parse(localStorage.getItem(OWN_BASKET + topic) ?? "[]"));
  } else {
    await putting.catch(() => null);
    const before = made;
    const [marks, basket] = await Promise.all([get(`/marks?topic=${topic}`), get(`/basket?topic=${topic}`)]);
    if (topic !== topicOf()) return null;
    if (before !== made) return loadMarks(topic); // what was done meanwhile may not be in the answer
    state.marks = new Map(Object.entries(marks.marks));
    for (const one of queue) if (one.topic === topic && one.shots) put(one.shots, one.mark);
    state.basket = new Set(basket.shots);
    [state.agreement, state.before] = [marks.agreement, marks.last];
  }
  return tell("marked", null);
}

function put(shots, mark) {
  made++;
  for (const shot of shots) if (mark) state.marks.set(shot, mark); else state.marks.delete(shot);
}

/** Mark shots; null takes the mark away. */
export function mark(shots, value) {
  const topic = topicOf();
  const event = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 12)}`;
  done.push({ event, topic, before: shots.map((shot) => [shot, state.marks.get(shot) ?? null]) });
  put(shots, value);
  tell("marked", new Set(shots));
  if (state.status.read_only) keepOwn(topic);
  else add({ event, topic, shots, mark: value, at_ms: Date.now() });
}

/** Take back what was marked last for the topic on the page. */
export function undo() {
  const place = done.findLastIndex((one) => one.topic === topicOf());
  if (place < 0 && !state.before) return tell("say", "nothing to undo");
  if (place < 0) return add({ event: state.before, topic: topicOf() });
  const [last] = done.splice(place, 1);
  for (const [shot, before] of last.before) put([shot], before);
  tell("marked", new Set(last.before.map(([shot]) => shot)));
  if (state.status.read_only) return keepOwn(last.topic);
  const unsent = queue.findIndex((one, at) => one.event === last.event && one.shots && !(sending && at === 0));
  if (unsent < 0) return add({ event: last.event, topic: last.topic });
  queue.splice(unsent, 1);
  return keep();
}

function keepOwn(topic) { localStorage.setItem(OWN + topic, JSON.stringify([...state.marks])); }

function add(one) {
  queue.push(one);
  keep();
  flush();
}

/** Send what the server does not have, in order; an event that is sent twice counts once. */
export async function flush() {
  if (sending || !queue.length) return;
  sending = true;
  try {
    while (queue.length) {
      const { topic, ...one } = queue[0];
      const signal = AbortSignal.timeout(LATE_MS); // of a line that is dead the browser says nothing for minutes
      const answer = await (one.shots ? send("/marks", queue[0], { signal }) : send("/marks", { event: one.event }, { method: "DELETE", signal }));
      queue.shift();
      keep();
      if (topic === topicOf()) {
        state.agreement = answer.agreement;
        if (!queue.length) for (const [shot, value] of Object.entries(answer.changed)) put([shot], value);
        if (!one.shots && !queue.length) loadMarks().catch(() => null); // which event comes before
        tell("marked", new Set(Object.keys(answer.changed)));
      }
    }
  } catch (error) {
    if (error instanceof Refused && error.status < 500 && error.status !== 429) {
      queue.shift();
      keep();
      tell("problem", error.error);
      loadMarks().catch(() => null);
    } else if (error instanceof Refused) tell("problem", { ...error.error, next_step: "the marks are kept here and sent again" });
    if (queue.length) setTimeout(flush, AGAIN_MS);
  } finally {
    sending = false;
  }
}

/** How many marks have not arrived. */
export function unsent() { return queue.length; }

/** Take shots out of the basket, those that are in it. */
export function takeOut(shots) {
  const held = shots.filter((shot) => state.basket.has(shot));
  if (held.length) toggleBasket(held);
}

/** Put shots into the basket, or take them out if they are all there. */
export async function toggleBasket(shots) {
  made++;
  const out = shots.every((shot) => state.basket.has(shot));
  for (const shot of shots) if (out) state.basket.delete(shot); else state.basket.add(shot);
  tell("marked", new Set(shots));
  if (state.status.read_only) return localStorage.setItem(OWN_BASKET + topicOf(), JSON.stringify([...state.basket]));
  try {
    putting = send("/basket", { topic: topicOf(), [out ? "remove" : "add"]: shots });
    const held = await putting;
    if (held.topic === topicOf()) state.basket = new Set(held.shots);
  } catch (error) {
    tell("problem", error);
  }
  tell("marked", new Set(shots));
}
