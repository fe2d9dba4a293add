// Two lists side by side: relevant shots that one has and the other has not, and a line for every shot that moved.

import { get } from "./api.js";
import { el, muted, number, select, svg } from "./dom.js";
import { addressOf, go, state } from "./state.js";
import { THEIRS, picture, small } from "./tile.js";

const ROW = 40;
const LINES = 50;

/** The page of a comparison, of the lists in its address. */
export async function comparePage(given, head) {
  const [a, b, topic] = ["a", "b", "topic"].map((name) => given.get(name) ?? "");
  const names = state.status.systems.filter((system) => system.kind === "list").map((system) => system.name);
  const other = (changed) => go(`/compare?${new URLSearchParams({ a, b, topic, ...changed })}`);
  const mine = (one) => one && ((one.topic ?? "") === topic || [a, b].includes(one.list));
  const own = [[state.answer, "the list on the page"], [state.last, "the list before it"]].filter(([one]) => mine(one));
  const words = new Map([["", "choose a list"], ...names.map((one) => [one, one]), ...own.map(([one, said]) => [one.list, said])]);
  const side = (label, value, name) => select(label, new Map([...words, [value, words.get(value) ?? "a list asked before"]]), value,
    (one) => other({ [name]: one }));
  head.append(side("List a", a, "a"), side("List b", b, "b"),
    select("Topic", [["", "No topic"], ...state.topics.map((one) => [one.id, `${one.id}  ${one.text}`])], topic, (one) => other({ topic: one })));
  if (!a || !b) return muted("Choose two lists.");
  try {
    return drawn(await get(`/compare?${new URLSearchParams(topic ? { a, b, topic } : { a, b })}`));
  } catch (error) {
    if (error.status !== 404 || [a, b].every((name) => names.includes(name))) throw error;
    return [el("p", { text: "The server does not hold this list any more: it keeps the newest ones, until it ends." }),
      el("p", {}, "Choose other lists above, or ", el("a", { href: addressOf(state.query), text: "ask again" }), ".")]; // loads the page anew
  }
}

function drawn(found) {
  const figure = (measures) => (measures ? Object.entries(measures.all).map(([name, one]) => `${name} ${one.text}`).join("  ") : "");
  const set = (words, shots, kind) => el("section", { class: kind }, el("h2", { text: `${words}: ${number(shots.length)}` }),
    el("div", { class: "smalls" }, shots.slice(0, LINES).map((shot) => small(shot, shot))),
    shots.length > LINES ? muted(`and ${number(shots.length - LINES)} more`) : null);
  return [muted(`${number(found.only_a)} shots only in a, ${number(found.only_b)} only in b`),
    set("Gained, relevant only in b", found.gained, "gained"), set("Lost, relevant only in a", found.lost, "missed"),
    el("h2", { text: `The first ${LINES} of each` }),
    el("div", { class: "sides" }, el("h3", {}, "a ", el("small", { text: figure(found.measures_a) })), el("span"),
      el("h3", {}, "b ", el("small", { text: figure(found.measures_b) })),
      oneSide(found.moves, "a"), lines(found.moves), oneSide(found.moves, "b"))];
}

function oneSide(moves, name) {
  const held = moves.filter((one) => one[name] !== null && one[name] <= LINES).sort((one, two) => one[name] - two[name]);
  const away = (one) => {
    const other = one[name === "a" ? "b" : "a"];
    if (other === null) return "not there";
    return other === one[name] ? "=" : `${name === "a" ? "to" : "from"} ${other}`;
  };
  return el("ol", { class: "side" }, held.map((one) => el("li", { class: one.judgment === 1 ? "nist-relevant" : null },
    el("span", { class: "rank", text: one[name] }), el("span", { class: "pic" }, picture(one.shot)), el("span", { class: "video", text: one.shot }),
    el("span", { class: "theirs", text: THEIRS[one.judgment]?.[0] ?? "" }), el("span", { class: "muted", text: away(one) }))));
}

function lines(moves) {
  const both = moves.filter((one) => one.a !== null && one.b !== null && one.a <= LINES && one.b <= LINES);
  const y = (rank) => (rank - 0.5) * ROW;
  return svg("svg", { class: "lines", viewBox: `0 0 100 ${LINES * ROW}`, preserveAspectRatio: "none", "aria-hidden": true, height: LINES * ROW },
    both.map((one) => svg("line", { x1: 0, x2: 100, y1: y(one.a), y2: y(one.b), class: one.judgment === 1 ? "relevant" : null })));
}
