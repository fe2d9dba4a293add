// The list of a question: asked, shown in the grid, and replaced by its second answer without moving under the pointer.

import { cancel, get, search, send } from "./api.js";
import { after, button, el, fill, muted, number } from "./dom.js";
import { Grid } from "./grid.js";
import { systemOf } from "./search.js";
import { state, tell, topicOf } from "./state.js";

const PAGE = 500;
const REST_MS = 800;
const SEEN_MS = 1500;

/** The list of the search. */
export class List {
  constructor(bar, hooks) {
    this.bar = bar;
    this.grid = new Grid("Results", { ...hooks, open: (item, place) => this.open(item, place) });
    this.message = el("div", { class: "message", hidden: true });
    this.notice = el("div", { class: "notice", role: "status", "aria-live": "polite" });
    this.node = el("section", { class: "results", "aria-label": "Results" }, this.grid.node, this.message, this.notice);
    this.asked = null; // the question, as text
    this.waiting = null; // an answer that is not shown yet
    this.moved = 0;
    this.seen = new Set();
    const rested = after(REST_MS, () => this.take());
    const touched = () => {
      this.moved = performance.now();
      if (this.waiting) rested();
    };
    for (const kind of ["pointermove", "keydown", "scroll"]) this.grid.node.addEventListener(kind, touched, { passive: true });
    this.grid.seen = after(SEEN_MS, (items) => this.report(items));
  }

  /** Ask the question of the page, unless it is the one that is shown. */
  async ask({ again = false, at = null } = {}) {
    const asked = JSON.stringify(state.query);
    if (asked === this.asked && !again) return this.focusOn(at ?? this.grid.item?.shot);
    this.asked = asked;
    this.shown = null;
    this.waiting = null;
    fill(this.notice);
    const lists = state.query.by.length && state.query.by.every((name) => systemOf(name)?.kind === "list");
    if (!state.query.parts.length && !lists) return this.welcome();
    this.bar.busy.hidden = false;
    try {
      await search(state.query, (answer) => this.came(answer, asked, at));
    } catch (error) {
      if (error.name === "AbortError") return;
      if (asked === this.asked) this.failed(error);
    }
    if (asked === (this.asked ?? asked)) this.bar.busy.hidden = true;
  }
  /** End the question that is asked; it can be asked again. */
  cancel() {
    cancel();
    this.asked = null;
    this.bar.busy.hidden = true;
  }
  failed(error) {
    this.asked = null;
    tell("answered", null);
    this.say(problem(error));
  }
  came(answer, asked, at) {
    if (asked !== this.asked || answer.stage === "cancelled") return;
    if (answer.stage === "error") return this.failed(answer);
    const second = this.shown === asked;
    if (second && performance.now() - this.moved < REST_MS) {
      this.waiting = [answer, asked, at];
      const held = new Set(this.grid.items.slice(0, answer.results.length).map((item) => item.shot));
      const fresh = answer.results.filter((item) => !held.has(item.shot)).length;
      fill(this.notice, button(`${number(fresh)} new: press g`, () => this.take(), { class: "pill" }));
      setTimeout(() => performance.now() - this.moved >= REST_MS && this.take(), REST_MS);
      return;
    }
    this.put(answer, asked, at, second);
  }

  /** Show the answer that waits. */
  take() {
    if (!this.waiting) return;
    const [answer, asked, at] = this.waiting;
    this.waiting = null;
    fill(this.notice);
    this.put(answer, asked, at, true);
  }
  put(answer, asked, at, second) {
    const { results, ...rest } = answer;
    if (state.answer?.list !== rest.list && !second) state.last = state.answer;
    [state.answer, this.shown] = [{ ...rest, topic: JSON.parse(asked).topic }, asked];
    this.bar.count(rest);
    this.message.hidden = answer.total > 0;
    if (!answer.total) this.empty(answer);
    tell("answered", rest);
    this.grid.show(results, { keep: second, byGroup: state.query.group === "video" });
    if (!second && results.length) this.focusOn(at);
    this.rest(rest, results);
  }

  /** Whether the focus may go to the list: a letter that is meant for a field would mark a shot. */
  free() {
    const here = document.activeElement;
    return here === document.body || this.node.contains(here) || (here === this.bar.words && this.bar.entered);
  }

  /** Go to a shot of the list, or to the first. */
  focusOn(at, take = this.free()) { this.grid.focus(Math.max(0, this.grid.items.findIndex((item) => item.shot === at)), { take }); }

  /** Fetch the rest of the list. */
  async rest(answer, results) {
    let items = results;
    try {
      while (items.length < answer.rows && state.answer.list === answer.list) {
        const page = await get(`/lists/${answer.list}?from=${items.length}&count=${PAGE}`);
        if (!page.results.length || state.answer.list !== answer.list) return;
        items = [...items, ...page.results];
        this.grid.more(items);
      }
      if (state.answer?.list === answer.list && items.length > results.length) tell("whole");
    } catch (error) {
      if (error.status === 404) this.ask({ again: true }); // the server began anew
    }
  }
  empty(answer) {
    const taken = answer.taken.filter((one) => one.shots);
    this.say(el("h2", { text: "No shots" }), taken.length
      ? el("ul", {}, taken.map((one) => el("li", { text: `${one.filter} took ${number(one.shots)}` })))
      : el("p", { text: "The systems gave none." }), answer.warnings.map((one) => el("p", { text: one })));
  }
  say(...children) {
    this.grid.show([]);
    fill(this.bar.counts);
    fill(this.message, el("div", {}, ...children));
    this.message.hidden = false;
    this.shown = null;
  }

  /** What there is, before anything is asked. */
  welcome() {
    const { status, topics } = state;
    state.answer = null;
    const facts = `${number(status.shots)} shots of ${number(status.videos)} videos`;
    const missing = Object.entries(status.media.missing).map(([what, option]) => muted(`No ${what}: ${option}`));
    this.say(el("h1", { text: "Search" }), muted(facts), missing,
      topics.length ? el("ul", { class: "topics" }, topics.map(({ id, text }) => el("li", {},
        button("", () => tell("topic", id), {}, el("b", { text: id }), el("span", { text }))))) : null);
    tell("answered", null);
    if (!document.activeElement || document.activeElement === document.body) this.bar.words.focus();
  }

  /** Open the group behind a shot in place, or close it. */
  async open(item, place) {
    const { items } = this.grid;
    if (!item?.folded) return;
    let end = place + 1;
    while (items[end]?.member) end++;
    const others = [];
    for (let from = 0, rows = 1; end === place + 1 && from < rows; from += PAGE) {
      const page = await get(`/lists/${state.answer.list}?from=${from}&count=${PAGE}&fold=${item.fold}`);
      rows = page.rows;
      others.push(...page.results.filter((one) => one.shot !== item.shot).map((one) => ({ ...one, folded: 0, member: true })));
    }
    this.grid.show([...items.slice(0, place + 1), ...others, ...items.slice(end)], { keep: true, byGroup: this.grid.byGroup });
  }

  /** Tell the server what was on the screen, for those who hide it. */
  async report(items) {
    const fresh = items.map((item) => item.shot).filter((shot) => !this.seen.has(`${topicOf()} ${shot}`));
    if (!fresh.length || state.status.read_only || document.hidden) return;
    const topic = topicOf();
    const told = await send("/views", { topic, shots: fresh }).catch(() => null); // told again with what is seen next
    if (told) for (const shot of fresh) this.seen.add(`${topic} ${shot}`);
  }
}

/** What is shown in the place of a view that cannot be. */
export function failure(error) { return el("div", { class: "message whole", role: "alert" }, el("div", {}, problem(error))); }

/** An error of the API as words. */
export function problem(given) {
  const error = given.error ?? { what: given.message, ...given };
  const rows = [["where", error.where], ["got", error.got], ["wanted", error.wanted]].filter(([, value]) => value);
  return [el("h2", { text: error.what }), el("dl", {}, rows.map(([name, value]) => [el("dt", { text: name }), el("dd", { text: value })])),
    error.next_step ? el("p", { text: error.next_step }) : null];
}
