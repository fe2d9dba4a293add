// The panel beside the list: measures, marks and what to do with them, why a shot is where it is, and the topic.

import { facts, send } from "./api.js";
import { button, el, fill, muted, number, pairs, pressed, select, svg, table } from "./dom.js";
import { state, tell } from "./state.js";

const HEADLINE = ["infAP", "iP@10", "infNDCG", "inum_rel"];
const METHODS = [["rocchio", "Rocchio"], ["linear", "linear classifier"], ["bayes", "Bayes"]];
const JUDGED = [["relevant", "● relevant"], ["not", "○ not"], ["unjudged", "◌ unjudged"], ["outside", "outside the pool"]];
const STRATUM = ["stratum", "pooled", "judged", "relevant"];

/** The panel. */
export class Panel {
  constructor() {
    const part = (label) => el("section", { "aria-label": label, "aria-live": "polite" });
    [this.why, this.measures, this.marks, this.learn, this.topic] = ["Why", "Measures", "Marks", "Feedback", "Topic"].map(part);
    this.node = el("aside", { class: "panel", "aria-label": "Topic, measures and marks" }, this.why,
      this.measures, this.marks, this.learn, this.topic);
  }

  /** Show it, or hide it. In a narrow window it lies over the list, and is hidden at first. */
  toggle() { document.body.classList.toggle("other-panel"); }
  leave() {
    fill(this.why);
    if (this.node.clientWidth && getComputedStyle(this.node).position === "absolute") this.toggle();
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
      curve(found), pairs(JUDGED.map(([name, words]) => [words, number(found.judged[name]), `nist-${name}`]), { class: "tally" }),
      found.strata.length ? table(STRATUM, found.strata.map((row) => STRATUM.map((name) => number(row[name])))) : null] : null);
  }
  showMarks() {
    const counts = { yes: 0, no: 0, unsure: 0 };
    for (const value of state.marks.values()) counts[value]++;
    const { both, agree, kappa } = state.agreement ?? {};
    fill(this.marks, el("h2", { text: "Marks" }), pairs(Object.entries(counts).map(([name, count]) => [name, count, name]), { class: "tally" }),
      both ? muted(`${agree} of ${both} as judged${kappa === null ? "" : `, κ ${kappa.toFixed(2)}`}`) : null,
      state.status.read_only ? muted("kept in this browser alone") : null);
  }

  /** How the marks change the question. */
  showFeedback() {
    const chosen = state.feedback;
    const judged = state.topics.find((one) => one.id === state.query.topic)?.judged;
    const simulate = () => {
      chosen.simulate = !chosen.simulate;
      this.showFeedback();
    };
    fill(this.learn, state.status.read_only ? null : [el("h2", { text: "Feedback" }), el("div", { class: "learn" },
      select("Feedback by", METHODS, chosen.method, (method) => (chosen.method = method)),
      button("Search again", () => tell("feedback"), { title: "with my marks (f)" }),
      judged ? pressed("Simulate a perfect user", chosen.simulate, simulate) : null),
    judged && chosen.simulate ? el("p", { class: "warning", text: "Judgments are the marks: the list is automatic-invalid." }) : null]);
  }

  /** Why a shot is in its place. */
  async explain(shot) {
    if (!state.answer) return;
    const asked = [send("/explain", { list: state.answer.list, shot }), facts(`/shots/${encodeURIComponent(shot)}`)];
    const [found, { texts }] = await Promise.all(asked);
    const share = (one) => (one.share === null ? "" : `${Math.round(one.share * 100)} %`);
    const systems = found.systems.map((one) => [one.name, one.rank, one.score?.toFixed(4), share(one)]);
    fill(this.why, el("h2", { text: `Why ${shot}` }), table(["system", "rank", "score", "share"], systems),
      texts.length ? [el("h3", { text: "its texts" }), pairs(texts.map((one) => [one.kind, one.text]), { class: "read" })] : null,
      found.neighbours.length ? [el("h3", { text: "near it in the list" }), el("ul", { class: "plain" }, found.neighbours.map((one) =>
        el("li", { text: `${one.rank}  ${one.shot}  ${one.cosine.toFixed(3)}` })))] : null,
      found.problems.map((one) => el("p", { class: "warning", text: `${one.store}: ${one.status}: ${one.reason}` })));
    if (!this.node.clientWidth) this.toggle();
    this.node.scrollTop = 0;
  }
}

function figures(all, kind) {
  const names = Object.keys(all);
  const first = HEADLINE.filter((name) => name in all);
  return pairs([...first, ...names.filter((name) => !first.includes(name))].map((name) => [name, all[name].text]), { class: kind });
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
