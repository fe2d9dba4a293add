// Two lists side by side: relevant shots that one has and the other has not, and a line for every shot that moved.

import { get } from "./api.js";
import { el, fill, muted, number, select, svg } from "./dom.js";
import { failure } from "./list.js";
import { go, state } from "./state.js";
import { picture, small } from "./tile.js";

const ROW = 40;
const LINES = 50;

/** The page of a comparison. */
export class ComparePage {
  constructor() {
    this.head = el("header");
    this.body = el("div", {});
    this.node = el("section", { class: "page", "aria-label": "Compare" }, this.head, this.body);
  }
  show(search) {
    const given = new URLSearchParams(search);
    const [a, b, topic] = ["a", "b", "topic"].map((name) => given.get(name) ?? "");
    const names = state.status.systems.filter((system) => system.kind === "list").map((system) => system.name);
    const other = (changed) => go(`/compare?${new URLSearchParams({ a, b, topic, ...changed })}`);
    const side = (label, value, name) => select(label, [...new Set(["", ...names, value])].map((one) => [one, one || "choose a list"]), value,
      (one) => other({ [name]: one }));
    fill(this.head, el("h1", { text: "Compare" }), side("List a", a, "a"), side("List b", b, "b"),
      select("Topic", [["", "No topic"], ...state.topics.map((one) => [one.id, `${one.id}  ${one.text}`])], topic, (one) => other({ topic: one })));
    if (!a || !b) return fill(this.body, muted("Choose two lists."));
    const found = get(`/compare?${new URLSearchParams(topic ? { a, b, topic } : { a, b })}`);
    return found.then((sides) => this.draw(sides), (error) => fill(this.body, failure(error)));
  }
  draw(found) {
    const figure = (measures) => (measures ? Object.entries(measures.all).map(([name, one]) => `${name} ${one.text}`).join("  ") : "");
    const set = (words, shots, kind) => el("section", { class: kind }, el("h2", { text: `${words}: ${number(shots.length)}` }),
      el("div", { class: "smalls" }, shots.slice(0, LINES).map((shot) => small(shot, shot))),
      shots.length > LINES ? muted(`and ${number(shots.length - LINES)} more`) : null);
    fill(this.body, muted(`${number(found.only_a)} shots only in a, ${number(found.only_b)} only in b`),
      set("Gained, relevant only in b", found.gained, "gained"), set("Lost, relevant only in a", found.lost, "missed"),
      el("h2", { text: `The first ${LINES} of each` }),
      el("div", { class: "sides" }, el("h3", {}, "a ", el("small", { text: figure(found.measures_a) })), el("span"),
        el("h3", {}, "b ", el("small", { text: figure(found.measures_b) })),
        this.side(found.moves, "a"), this.lines(found.moves), this.side(found.moves, "b")));
  }
  side(moves, name) {
    const held = moves.filter((one) => one[name] !== null && one[name] <= LINES).sort((one, two) => one[name] - two[name]);
    const glyph = (one) => ({ 1: "●", 0: "○", "-1": "◌" })[one.judgment] ?? "";
    const away = (one) => {
      const other = one[name === "a" ? "b" : "a"];
      if (other === null) return "not there";
      return other === one[name] ? "=" : `${name === "a" ? "to" : "from"} ${other}`;
    };
    return el("ol", { class: "side" }, held.map((one) => el("li", { class: one.judgment === 1 ? "nist-relevant" : null },
      el("span", { class: "rank", text: one[name] }), el("span", { class: "pic" }, picture(one.shot)), el("span", { class: "video", text: one.shot }),
      el("span", { class: "theirs", text: glyph(one) }), el("span", { class: "muted", text: away(one) }))));
  }
  lines(moves) {
    const both = moves.filter((one) => one.a !== null && one.b !== null && one.a <= LINES && one.b <= LINES);
    const y = (rank) => (rank - 0.5) * ROW;
    return svg("svg", { class: "lines", viewBox: `0 0 100 ${LINES * ROW}`, preserveAspectRatio: "none", "aria-hidden": true, height: LINES * ROW },
      both.map((one) => svg("line", { x1: 0, x2: 100, y1: y(one.a), y2: y(one.b), class: one.judgment === 1 ? "relevant" : null })));
  }
}
