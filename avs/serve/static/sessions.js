// The sessions of this folder and the questions of one; each question opens again.

import { get } from "./api.js";
import { button, el, fill, muted, number, some, table } from "./dom.js";
import { addressOf, fresh, link, tell } from "./state.js";
import { picture } from "./tile.js";

const PAGE = 100;
const date = (ms) => (ms === null ? "–" : new Date(ms).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" }));

/** The page of all sessions, or of the one in its address. */
export async function sessionsPage(given, head) {
  const id = given.get("id");
  return id ? questions(id, head) : all(await get("/sessions"));
}

function all({ kept, sessions }) {
  if (!kept) return muted("A read-only server keeps no sessions and shows none.");
  const row = (one) => [el("th", { scope: "row" }, link(date(one.started_ms), `/sessions?${new URLSearchParams({ id: one.id })}`),
    el("span", { text: one.now ? "this one" : one.id })), ...[one.queries, one.marks, one.submissions].map(number),
  one.damaged ? el("td", { class: "warning", text: number(one.damaged) }) : "0", `${number(Math.ceil(one.bytes / 1000))} KB`, date(one.ended_ms)];
  return el("div", { class: "wide" }, table(["Started", "Questions", "Marks", "Submissions", "Damaged lines", "Size", "Last event"],
    sessions.map(row), { class: "study sessions" }));
}

async function questions(id, head) {
  const ask = (from) => get(`/sessions/${encodeURIComponent(id)}?from=${from}&count=${PAGE}`);
  const rows = el("ol", { class: "questions" });
  const more = el("p");
  const add = ({ session, start, queries }) => {
    rows.append(...queries.map(question));
    const next = start + PAGE;
    fill(more, next < session.queries ? button(`${number(session.queries - next)} more`, async ({ target }) => {
      target.disabled = true; // a second press would add them twice
      await ask(next).then(add, (error) => tell("problem", error));
      target.disabled = false;
    }) : null);
    return session;
  };
  const facts = add(await ask(0));
  const words = `${date(facts.started_ms)} · ${some(facts.queries, "question")}`;
  head.append(el("span", { class: "muted", text: words }), link("All sessions", "/sessions"));
  return [facts.damaged ? el("p", { class: "warning", text: `${some(facts.damaged, "line")} of its journal cannot be read` }) : null,
    facts.queries ? null : muted("Nothing was asked."), rows, more];
}

function question(one) {
  const asked = JSON.parse(JSON.stringify(one.query, (_, value) => value ?? undefined)); // nothing that is null, as in an address
  const query = { ...fresh(), ...asked };
  const size = `${some(one.total, "shot")} in ${Math.round(one.ms)} ms`;
  const changed = one.same ? "" : "other artefacts are opened now";
  const facts = [one.topic && `topic ${one.topic}`, one.systems.join(" + "), one.fused, size, one.stamp, changed];
  return el("li", {}, el("span", { class: "muted", text: one.number }),
    el("div", {}, link(one.text || "ranked lists", addressOf(query)), el("small", { text: ` ${facts.filter(Boolean).join(" · ")}` }),
      el("div", { class: "glimpse" }, one.first.map((shot) => el("span", { class: "pic", title: shot }, picture(shot))))),
    el("small", { text: date(one.at_ms) }));
}
