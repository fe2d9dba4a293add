// Showdown: what is submitted to the server of an evaluation, what it says of it, and how much time is left.

import { get, send } from "./api.js";
import { after, button, el, field, fill, muted, openDialog, select, some, table } from "./dom.js";
import { takeOut } from "./judge.js";
import { state, tell } from "./state.js";
import { SENT, small } from "./tile.js";

const SERVER = { down: "cannot be reached", "logged-out": "logged out", "no-evaluation": "no evaluation", "no-task": "no task",
  running: "task runs", ended: "task has ended" };
const SOON_MS = 60;
const TICK_MS = 250;
const SHORT_S = 30;

let known = null; // Submissions of the API
let ends = null; // when the time is over, on the clock of performance.now()
let turn = 0;
const told = new Map(); // id of an answer -> the state that was said of it

/** Ask what was submitted and how the evaluation stands. */
export async function loadSubmissions() {
  if (!state.status.dres || state.status.read_only) return;
  const mine = ++turn;
  const found = await get("/submit").catch(() => null); // the banner says that the server is gone
  if (found && mine === turn) take(found);
}

/** Ask again, soon: several things may happen at once. */
export const submissionsSoon = after(SOON_MS, loadSubmissions);

function take(found) {
  const before = known;
  known = found;
  ends = found.timer_left_s === null ? null : performance.now() + 1000 * found.timer_left_s;
  const entries = entriesOfTask();
  state.sent = new Map(entries.filter((one) => one.shot).map((one) => [one.shot, shown(one)]));
  state.sentVideos = new Set(entries.map((one) => one.video).filter(Boolean));
  const fresh = found.entries.filter((one) => told.get(one.id) !== one.state && shown(one) !== "queued" && !(one.dry_run && one.state === "sent"));
  for (const one of fresh) told.set(one.id, one.state);
  if (found.task && before?.task && found.task.name !== before.task.name) tell("task", found.task.name);
  if (before && fresh.length) tell("say", fresh.map((one) => [nameOf(one), SENT[one.state][2], one.message].filter(Boolean).join(", ")).join(" · "));
  tell("sent");
}

/** What was submitted to the task that runs, or to the last one. */
function entriesOfTask() {
  const task = known.task ? known.task.id ?? known.task.name : known.entries.at(-1)?.task;
  return known.entries.filter((one) => one.task === task);
}

/** The state as it is shown: what is being sent still waits for the answer. */
function shown(one) { return one.state === "in-flight" ? "queued" : one.state; }

function nameOf(one) { return one.shot ?? one.item ?? `"${one.text}"`; }

/** Submit {shots}, {shot, at_s} or {text}; whether the server has taken them. */
export async function submit(asked) {
  if (!state.status.dres) return tell("say", "nowhere to submit to: avs serve --dres");
  for (const shot of asked.shots ?? []) state.sent.set(shot, state.sent.get(shot) ?? "queued");
  tell("sent");
  try {
    const { live, entries, warnings } = await send("/submit", { topic: state.query.topic, list: state.answer?.list ?? null, ...asked });
    tell("say", [`${some(entries.length, "answer")} ${live ? "on the way" : "in the dry run: nothing is sent"}`, ...warnings].join(" · "));
    return true;
  } catch (error) {
    tell("problem", error);
    return false;
  } finally {
    loadSubmissions();
  }
}

/** Submit the basket, after asking once. */
export function submitBasket() {
  const shots = [...state.basket];
  if (!shots.length || !state.status.dres) return tell("say", shots.length ? "nowhere to submit to: avs serve --dres" : "the basket is empty");
  const words = `Submit ${some(shots.length, "shot")}`;
  const dialog = openDialog(`${words} of the basket?`, "confirm", muted([known?.live ? "It counts." : "A dry run: nothing is sent.",
    known?.task?.name].filter(Boolean).join(" ")), el("div", { class: "smalls" }, shots.map((shot) => small(shot, shot))), button(words, () => {
    dialog.close();
    submit({ shots }).then((taken) => taken && takeOut(shots));
  }, { class: "primary", autofocus: true }));
  return dialog;
}

async function call(path, body) {
  await send(path, body).catch((error) => tell("problem", error));
  loadSubmissions();
}

/** The bar of the evaluation. */
export class Showdown {
  constructor() {
    this.line = el("div", { class: "line" });
    this.asks = el("div", { class: "asks", role: "alert" });
    this.timer = el("span", { class: "timer", role: "timer", "aria-label": "Time left" });
    this.node = el("section", { class: "showdown", "aria-label": "Showdown", hidden: true }, this.line, this.asks);
    setInterval(() => this.tick(), TICK_MS);
  }
  show() {
    if (!known) return;
    const { live, server, evaluations, evaluation, task, timer_of: of } = known;
    this.node.classList.toggle("live", live);
    if (this.dialog?.open) this.list();
    this.tick();
    const drawn = JSON.stringify({ ...known, timer_left_s: 0, task: task && { ...task, left_s: 0 } });
    if (drawn === this.drawn) return; // a list that is open would close
    this.drawn = drawn;
    const choice = evaluations.length > 1 ? select("Evaluation", [["", "choose an evaluation"], ...evaluations.map((one) => [one.id, one.name])],
      evaluation ?? "", (id) => id && call("/submit/evaluation", { id })) : el("span", { text: evaluations[0]?.name ?? "" });
    fill(this.line, el("strong", { text: live ? "Live: submissions count" : "Dry run" }),
      el("span", { class: `dot ${known.state}`, "aria-hidden": true }), el("span", { text: `${server} ${SERVER[known.state]}` }), choice,
      task ? el("b", { text: [task.name, task.kind].filter(Boolean).join(" · ") }) : null,
      known.message ? el("small", { text: known.message }) : null,
      button(this.counted(), () => this.open(), { class: "toggle end" }), this.timer,
      of === "task" ? null : button(of ? "Stop" : "Start the timer", () => call("/timer", { do: of ? "stop" : "start" })));
    fill(this.asks, known.entries.filter((one) => one.state === "unknown" || one.state === "failed").map((one) => this.ask(one)));
  }

  /** What becomes of an answer that may have arrived, or that did not. */
  ask(one) {
    const act = (words) => () => call("/submit/ask", { id: one.id, do: words });
    const words = one.state === "unknown" ? `It is not known whether ${nameOf(one)} has arrived. Ask the server of the evaluation.`
      : `${nameOf(one)} could not be sent. ${one.message}`;
    return el("p", {}, words, button("Send again", act("send again")), button("Forget it", act("forget")));
  }
  counted() {
    const states = entriesOfTask().map((one) => one.state);
    const words = [...new Set(states)].map((name) => `${states.filter((one) => one === name).length} ${name}`);
    return words.join(", ") || "nothing submitted";
  }
  open() {
    this.entries = el("div", { class: "wide" });
    const answer = field("text", "Answer in words", { maxlength: 2000, placeholder: "an answer in words, where the task asks for one" });
    const run = (event) => {
      event.preventDefault();
      if (answer.value.trim()) submit({ text: answer.value.trim() });
      answer.value = "";
    };
    const form = el("form", { class: "answer", on: { submit: run } }, answer, el("button", { text: "Submit" }));
    this.dialog = openDialog("Submitted", "submitted", form, this.entries);
    this.list();
  }
  list() {
    const ms = (one) => (one.start_ms === null ? "" : `${one.start_ms} – ${one.end_ms} ms`);
    const row = (one) => {
      const [glyph, , words] = SENT[shown(one)];
      const said = one.dry_run ? `${words} (dry run)` : words;
      return [nameOf(one), one.item, ms(one), one.task, el("td", {}, el("span", { class: "sign square", text: glyph }), ` ${said}`),
        [one.sent_before && "its video was sent before", one.message].filter(Boolean).join(" · ")];
    };
    const heads = ["shot", "item", "time", "task", "state", "note"];
    fill(this.entries, known.entries.length ? table(heads, known.entries.map(row).reverse(), { class: "study" })
      : muted("Nothing was submitted. Press s on a shot, or S for the basket."));
  }
  tick() {
    const left = ends === null ? null : Math.max(0, Math.ceil((ends - performance.now()) / 1000));
    const words = left === null ? "" : `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    if (this.timer.textContent !== words) this.timer.textContent = words;
    this.timer.classList.toggle("short", left !== null && left <= SHORT_S);
  }
}
