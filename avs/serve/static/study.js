// Topics x lists: the measure of each, the worst topic first; what the checker finds; what the lists share.

import { get } from "./api.js";
import { button, el, fill, muted, number, select, table } from "./dom.js";
import { addressOf, fresh, go, link } from "./state.js";

const MEASURES = ["infAP", "iP@10", "infNDCG", "inum_rel"];

/** The page of the study. */
export async function studyPage(given, head) {
  const measure = given.get("measure") ?? MEASURES[0];
  head.append(select("Measure", MEASURES.map((name) => [name, name]), measure, (other) => go(`/study?${new URLSearchParams({ measure: other })}`)));
  const found = await get(`/study?${new URLSearchParams({ measure })}`);
  const values = el("div");
  draw(values, found, null);
  const checked = found.findings.map((one) => el("li", { text: `${one.list}, line ${one.line}: ${one.what}` }));
  return [values, shared(found), el("h2", { text: "Check" }), checked.length ? el("ul", {}, checked) : muted("The checker found nothing.")];
}

/** All values; by the list at the place `by` where that is not null. */
function draw(node, found, by) {
  const { lists, means } = found;
  const rows = [...found.topics];
  if (by !== null) rows.sort((a, b) => (a.values[by]?.value ?? -1) - (b.values[by]?.value ?? -1));
  const heads = lists.map((name, place) => el("th", { scope: "col", "aria-sort": by === place ? "ascending" : "none" },
    button(name, () => {
      draw(node, found, by === place ? null : place);
      node.querySelectorAll("thead button")[place].focus();
    })));
  const mean = ["all", ...means.map((one) => el("td", { class: "mean", text: one.text }))];
  fill(node, muted(by === null ? "The worst topic first." : `By ${lists[by]}, the worst first.`),
    el("div", { class: "wide" }, table(["Topic", ...heads], [mean, ...rows.map((row) => line(row, lists))], { class: "study" })));
}

function line(row, lists) {
  const best = Math.max(...row.values.map((one) => one?.value ?? -1));
  const query = { ...fresh(), topic: row.topic, parts: row.text ? [{ text: row.text }] : [] };
  return [el("th", { scope: "row" }, link(row.topic, addressOf(query)), el("span", { text: row.text })),
    ...row.values.map((one, place) => el("td", { class: one && one.value === best ? "best" : null },
      one ? link(one.text, addressOf({ ...query, by: [lists[place]], parts: [] })) : "–"))];
}

function shared({ lists, unique, overlap, topics }) {
  const compared = (a, b, share) => link(`${Math.round(share * 100)} %`,
    `/compare?${new URLSearchParams({ a, b, topic: topics[0]?.topic ?? "" })}`);
  const rows = lists.map((name, at) => [name, number(unique[name]),
    ...overlap[at].map((share, other) => (at === other ? null : compared(name, lists[other], share)))]);
  return [el("h2", { text: "What the lists share" }),
    el("div", { class: "wide" }, table(["List", "relevant shots that it has alone", ...lists], rows, { class: "study" }))];
}
