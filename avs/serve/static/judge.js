// Marks of shots: shown at once, kept until the server has them, undone in the order they were made; and what they say.

import { Refused, get, send } from "./api.js";
import { el, fill, muted, number, svg } from "./dom.js";
import { state, tell, topicOf } from "./state.js";

const KEPT = "avs-marks:"; // with a name of each page: what the server does not have yet
const OWN = "avs-own-marks:"; // marks of a visitor of a read-only server
const AGAIN_MS = 2000;
const HEADLINE = ["infAP", "iP@10", "infNDCG", "inum_rel"];

const mine = KEPT + Math.random().toString(36).slice(2);
const queue = Object.keys(localStorage).filter((key) => key.startsWith(KEPT)).flatMap(takeOver);
let sending = false;
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
    state.basket = new Set();
  } else {
    const [marks, basket] = await Promise.all([get(`/marks?topic=${topic}`), get(`/basket?topic=${topic}`)]);
    if (topic !== topicOf()) return;
    state.marks = new Map(Object.entries(marks.marks));
    for (const one of queue) if (one.topic === topic && one.shots) put(one.shots, one.mark);
    state.basket = new Set(basket.shots);
    [state.agreement, state.before] = [marks.agreement, marks.last];
  }
  tell("marked", null);
}

function put(shots, mark) { for (const shot of shots) if (mark) state.marks.set(shot, mark); else state.marks.delete(shot); }

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

/** Take back what was marked last. */
export function undo() {
  const last = done.pop();
  if (!last && !state.before) return tell("say", "nothing to undo");
  if (!last) return add({ event: state.before, topic: topicOf() });
  if (last.topic === topicOf()) {
    for (const [shot, before] of last.before) put([shot], before);
    tell("marked", new Set(last.before.map(([shot]) => shot)));
  }
  if (state.status.read_only) return keepOwn(last.topic);
  const unsent = queue.findIndex((one, place) => one.event === last.event && one.shots && !(sending && place === 0));
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
      const answer = one.shots ? await send("/marks", queue[0]) : await send("/marks", { event: one.event }, "DELETE");
      queue.shift();
      keep();
      if (topic === topicOf()) {
        state.agreement = answer.agreement;
        if (!queue.length) for (const [shot, value] of Object.entries(answer.changed)) put([shot], value);
        if (!one.shots) state.before = null;
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

/** Put shots into the basket, or take them out if they are all there. */
export async function toggleBasket(shots) {
  const out = shots.every((shot) => state.basket.has(shot));
  for (const shot of shots) if (out) state.basket.delete(shot); else state.basket.add(shot);
  tell("marked", new Set(shots));
  if (state.status.read_only) return;
  try {
    const held = await send("/basket", { topic: topicOf(), [out ? "remove" : "add"]: shots });
    if (held.topic === topicOf()) state.basket = new Set(held.shots);
  } catch (error) {
    tell("problem", error);
  }
  tell("marked", new Set(shots));
}

/** The panel of measures, judgments and marks. */
export class Panel {
  constructor() {
    this.topic = el("section", { class: "about" });
    this.measures = el("section", { "aria-label": "Measures", "aria-live": "polite" });
    this.marks = el("section", { "aria-label": "Marks", "aria-live": "polite" });
    this.why = el("section", { "aria-label": "Why", "aria-live": "polite" });
    this.node = el("aside", { class: "panel", "aria-label": "Topic, measures and marks" }, this.why, this.measures, this.marks, this.topic);
  }
  showTopic() {
    const topic = state.topics.find((one) => one.id === state.query.topic);
    fill(this.topic, topic ? [el("h2", { text: `Topic ${topic.id}` }), el("p", { text: topic.text }),
      topic.narrative ? muted(topic.narrative) : null,
      topic.judged ? muted(`${number(topic.relevant)} relevant of ${number(topic.pooled)} in the pool`)
        : muted(state.status.qrels ? "This topic is not in the judgments." : "No judgments: --qrels")] : null);
  }
  showMeasures(answer) {
    const found = answer?.measures;
    fill(this.measures, found ? [el("h2", { text: "Measures" }), figures(found.all, "figures"),
      found.shown ? [el("h3", { text: "of what is shown" }), figures(found.shown, "figures shown")] : null,
      curve(found), judged(found.judged), strata(found.strata)] : null);
  }
  showMarks() {
    const counts = { yes: 0, no: 0, unsure: 0 };
    for (const value of state.marks.values()) counts[value]++;
    const held = Object.entries(counts);
    const agreed = state.agreement?.both ? `${state.agreement.agree} of ${state.agreement.both} as judged`
      + (state.agreement.kappa === null ? "" : `, κ ${state.agreement.kappa.toFixed(2)}`) : null;
    fill(this.marks, el("h2", { text: "Marks" }),
      el("dl", { class: "tally" }, held.map(([name, count]) => el("div", { class: name }, el("dt", { text: name }), el("dd", { text: count })))),
      agreed ? muted(agreed) : null,
      state.status.read_only ? muted("kept in this browser alone") : null);
  }

  /** Why a shot is in its place. */
  async explain(shot) {
    if (!state.answer) return;
    const found = await send("/explain", { list: state.answer.list, shot });
    const share = (one) => (one.share === null ? "" : `${Math.round(one.share * 100)} %`);
    fill(this.why, el("h2", { text: `Why ${shot}` }),
      el("table", {}, el("thead", {}, el("tr", {}, ["system", "rank", "score", "share"].map((text) => el("th", { scope: "col", text })))),
        el("tbody", {}, found.systems.map((one) => el("tr", {}, el("th", { scope: "row", text: one.name }), el("td", { text: one.rank ?? "–" }),
          el("td", { text: one.score === null ? "–" : one.score.toFixed(4) }), el("td", { text: share(one) }))))),
      found.neighbours.length ? [el("h3", { text: "near it in the list" }), el("ul", { class: "plain" }, found.neighbours.map((one) =>
        el("li", { text: `${one.rank}  ${one.shot}  ${one.cosine.toFixed(3)}` })))] : null,
      found.problems.map((one) => el("p", { class: "warning", text: `${one.store}: ${one.status}: ${one.reason}` })));
  }
}

function figures(all, kind) {
  const names = Object.keys(all);
  const first = HEADLINE.filter((name) => name in all);
  const shown = [...first, ...names.filter((name) => !first.includes(name))];
  return el("dl", { class: kind }, shown.map((name) => el("div", {}, el("dt", { text: name }), el("dd", { text: all[name].text }))));
}

/** Estimated relevant shots among the first ones, by rank (logarithmic). */
function curve({ curve: found, curve_ranks: ranks }) {
  if (found.length < 2) return null;
  const [wide, high] = [240, 56];
  const most = Math.max(...found, 1);
  const x = (rank) => (Math.log(rank) / Math.log(ranks.at(-1))) * wide;
  const points = found.map((value, at) => `${x(ranks[at]).toFixed(1)},${(high - (value / most) * (high - 4)).toFixed(1)}`);
  const words = `about ${found.at(-1).toFixed(1)} relevant in the first ${number(ranks.at(-1))}`;
  return el("figure", {}, svg("svg", { viewBox: `0 0 ${wide} ${high}`, class: "curve", role: "img", "aria-label": words },
    svg("polyline", { points: points.join(" ") })), el("figcaption", { class: "muted", text: words }));
}

const JUDGED = [["relevant", "●"], ["not", "○"], ["unjudged", "◌"], ["outside", " "]];

function judged(counts) {
  return el("dl", { class: "tally" }, JUDGED.map(([name, glyph]) => el("div", { class: `nist-${name}` },
    el("dt", { text: `${glyph} ${name === "outside" ? "outside the pool" : name}`.trim() }), el("dd", { text: number(counts[name]) }))));
}

function strata(all) {
  if (!all.length) return null;
  const columns = ["stratum", "pooled", "judged", "relevant"];
  return el("table", {}, el("thead", {}, el("tr", {}, columns.map((text) => el("th", { scope: "col", text })))),
    el("tbody", {}, all.map((row) => el("tr", {}, columns.map((name) => el("td", { text: number(row[name]) }))))));
}
