// Topics x lists: the measure of each, the worst topic first; what the checker finds; what the lists share.

import { get } from "./api.js";
import { button, el, fill, muted, number, select } from "./dom.js";
import { addressOf, fresh, link } from "./state.js";
import { failure } from "./list.js";

const MEASURES = ["infAP", "iP@10", "infNDCG", "inum_rel"];

/** The page of the study. */
export class StudyPage {
  constructor() {
    this.measure = MEASURES[0];
    this.sorted = null;
    this.body = el("div", {});
    this.node = el("section", { class: "page", "aria-label": "Study" }, el("header", {}, el("h1", { text: "Study" }),
      select("Measure", MEASURES.map((name) => [name, name]), this.measure, (measure) => {
        this.measure = measure;
        this.show();
      })), this.body);
  }
  show() {
    const found = get(`/study?measure=${encodeURIComponent(this.measure)}`);
    return found.then((table) => this.draw(table), (error) => fill(this.body, failure(error)));
  }
  draw(found) {
    const { lists, means, topics, findings, unique, overlap } = found;
    const rows = [...topics];
    if (this.sorted !== null) rows.sort((a, b) => (a.values[this.sorted]?.value ?? -1) - (b.values[this.sorted]?.value ?? -1));
    const sort = (place) => {
      this.sorted = this.sorted === place ? null : place;
      this.draw(found);
    };
    const head = el("tr", {}, el("th", { scope: "col", text: "Topic" }), lists.map((name, place) => el("th", {
      scope: "col", "aria-sort": this.sorted === place ? "ascending" : "none" }, button(name, () => sort(place)))));
    const mean = el("tr", { class: "mean" }, el("th", { scope: "row", text: "all" }), means.map((one) => el("td", { text: one.text })));
    fill(this.body, muted(this.sorted === null ? "The worst topic first." : `By ${lists[this.sorted]}, the worst first.`),
      el("div", { class: "wide" }, el("table", { class: "study" }, el("thead", {}, head),
        el("tbody", {}, mean, rows.map((row) => this.row(row, lists))))),
      this.shared(lists, unique, overlap, topics[0]?.topic ?? ""), this.checked(findings));
  }
  row(row, lists) {
    const best = Math.max(...row.values.map((one) => one?.value ?? -1));
    const query = { ...fresh(), topic: row.topic, parts: row.text ? [{ text: row.text }] : [] };
    return el("tr", {}, el("th", { scope: "row" }, link(row.topic, addressOf(query)), el("span", { text: row.text })),
      row.values.map((one, place) => el("td", { class: one && one.value === best ? "best" : null },
        one ? link(one.text, addressOf({ ...query, by: [lists[place]], parts: [] })) : "–")));
  }
  shared(lists, unique, overlap, topic) {
    const head = el("tr", {}, el("th", { scope: "col", text: "List" }), el("th", { scope: "col", text: "relevant shots that it has alone" }),
      lists.map((text) => el("th", { scope: "col", text })));
    return [el("h2", { text: "What the lists share" }), el("div", { class: "wide" }, el("table", { class: "study" }, el("thead", {}, head),
      el("tbody", {}, lists.map((name, at) => el("tr", {}, el("th", { scope: "row", text: name }), el("td", { text: number(unique[name]) }),
        overlap[at].map((share, other) => el("td", {}, at === other ? "–" : link(`${Math.round(share * 100)} %`,
          `/compare?${new URLSearchParams({ a: name, b: lists[other], topic })}`))))))))];
  }
  checked(findings) {
    if (!findings.length) return [el("h2", { text: "Check" }), muted("The checker found nothing.")];
    return [el("h2", { text: "Check" }), el("ul", {}, findings.map((one) => el("li", { text: `${one.list}, line ${one.line}: ${one.what}` })))];
  }
}
