// The page: what the server has, one view for each address, and what every key does.

import { Refused, exchangeToken, get, listen, send } from "./api.js";
import { basketPage, showExport } from "./basket.js";
import { comparePage } from "./compare.js";
import { apiPage } from "./document.js";
import { after, button, el, fill, some } from "./dom.js";
import { showHelp } from "./help.js";
import { flush, loadMarks, mark, takeOut, toggleBasket, undo, unsent } from "./judge.js";
import { listenToKeys } from "./keys.js";
import { List, failure, problem } from "./list.js";
import { Panel } from "./panel.js";
import { Large, play, playing, position, step, stop, toggle } from "./player.js";
import { Bar, alone, change, chooseTopic, searchByPicture, stepTopic, toggleDuplicates, toggleHidden, toggleVideos } from "./search.js";
import { sessionsPage } from "./sessions.js";
import { addressOf, go, keepAt, leavePage, link, on, queryOf, state, tell, topicOf } from "./state.js";
import { studyPage } from "./study.js";
import { Showdown, loadSubmissions, submissionsSoon, submit, submitBasket } from "./submit.js";
import { Strip, VideoPage } from "./video.js";

const STILL_MS = 120;
const SAID_MS = 4000;
const app = document.getElementById("app");
const banner = el("div", { class: "banner", role: "alert", hidden: true });
const hush = () => (banner.hidden = true);
const said = el("div", { class: "toast", role: "status", "aria-live": "polite" });
const nav = el("nav", { "aria-label": "Pages" });
const view = el("main");
const bar = new Bar();
const panel = new Panel();
const large = new Large();
const showdown = new Showdown();
const list = new List(bar, { focus: focused, zoom: (item) => large.open(item), scrub: (way) => playing() && step(way),
  submit: (item) => submit({ shots: [item.shot] }) });
const strip = new Strip({ focus: (shot) => list.focusOn(shot, true), play: (item) => large.open(item) });
const search = el("div", { class: "search blank" }, bar.node, el("div", { class: "middle" }, list.node, panel.node), strip.node);
const videoPage = new VideoPage();
// address -> name and content; the other views, search and video, are made once
const pages = { study: ["Study", studyPage], compare: ["Compare", comparePage], basket: ["Basket", basketPage],
  sessions: ["Sessions", sessionsPage], api: ["API", apiPage] };
let topic = null; // whose marks are held

on("say", (words) => {
  const line = el("p", { text: words });
  said.append(line);
  setTimeout(() => line.remove(), SAID_MS);
});
on("problem", (error) => warn(problem(error), button("Close", hush)));
on("gone", () => warn(el("p", { text: "The server cannot be reached. Marks are kept and sent when it is back." })));
for (const name of ["back", "changed"]) on(name, () => start());
on("topic", chooseTopic);
on("task", (name) => {
  if (state.query.topic || !(state.marks.size + state.basket.size)) return;
  const clear = () => {
    if (state.marks.size) mark([...state.marks.keys()], null);
    takeOut([...state.basket]);
    hush();
  };
  const held = `${some(state.marks.size, "mark")} and ${some(state.basket.size, "shot")} in the basket are from before`;
  warn(el("p", { text: `The task is ${name} now: ${held}.` }), button("Take them out", clear), button("Keep them", hush));
});
on("feedback", feedback);
on("address", show);
on("whole", () => settle(list.grid.item));
on("closed", () => list.grid.focus());
for (const name of ["marked", "sent"]) for (const one of [list.grid, videoPage.grid, large]) on(name, (shots) => one.refresh(shots));
for (const run of [() => panel.showMarks(), menu]) on("marked", run);
on("sent", () => showdown.show());
on("answered", (answer) => {
  search.classList.toggle("blank", !answer);
  panel.showMeasures(answer);
  menu();
  if (!answer) strip.show(null, []);
});
addEventListener("popstate", () => tell("address"));

function warn(...children) {
  fill(banner, ...children);
  banner.hidden = false;
}

const settle = after(STILL_MS, (item) => {
  strip.show(item, list.grid.items);
  if (location.pathname === "/") keepAt(item?.shot);
});

function focused(item) {
  if (playing() && playing() !== item?.shot && !large.node.open) stop();
  fill(panel.why);
  settle(item);
}

function menu() {
  const basket = addressOf(state.query, null, "/basket");
  const [a, b] = [state.last, state.answer];
  const sides = a && b && a.topic === b.topic && new URLSearchParams({ a: a.list, b: b.list, topic: b.topic ?? "" });
  const here = (address) => (address.split("?")[0] === location.pathname ? "page" : null);
  const listed = view.firstChild === search;
  const one = (words, address) => link(words, address, { "aria-current": here(address) });
  const own = !state.status.read_only;
  fill(nav, one("Search", addressOf(state.query)), state.status.qrels ? one("Study", "/study") : null,
    sides ? one("Compare", `/compare?${sides}`) : null, one(`Basket ${state.basket.size || ""}`.trim(), basket),
    own ? one("Sessions", "/sessions") : null, one("API", "/api"), listed && own ? button("Export", showExport, { class: "quiet" }) : null,
    listed ? button("Panel", () => panel.toggle(), { class: "quiet" }) : null,
    button("?", showHelp, { class: "quiet", "aria-label": "Keys" }));
}

/** Show the view of the address. */
function show() {
  stop();
  const [, name, id] = location.pathname.split("/");
  const given = new URLSearchParams(location.search);
  if (!(name in pages) || name === "basket") state.query = queryOf(location.search);
  const made = { "": search, video: videoPage.node }[name];
  if (made && view.firstChild !== made) fill(view, made);
  if (topic !== topicOf()) {
    topic = topicOf();
    [state.marks, state.basket] = [new Map(), new Set()];
    list.grid.show([]); // a mark would be of the new topic, and of a shot of the old list
    loadMarks(topic).catch(() => null);
  }
  if (name in pages) showPage(pages[name], given);
  else if (!made) fill(view, el("section", { class: "page" }, el("h1", { text: "There is no such page" }), link("Search", "/")));
  menu();
  if (made === search) {
    bar.show();
    panel.showTopic();
    panel.showFeedback();
    panel.showMarks();
    list.ask({ at: given.get("at") });
  } else if (made) videoPage.show(decodeURIComponent(id), given.get("at"));
}

/** Show a page that is made anew; one that is late is not shown over another. */
async function showPage([name, make], given) {
  const head = el("header", {}, el("h1", { text: name }));
  const body = el("div", {});
  fill(view, el("section", { class: "page", "aria-label": name }, head, body));
  fill(body, await make(given, head).catch(failure));
}

/** Ask what the server has, until it has everything. */
async function start() {
  try {
    const before = state.status?.fingerprint;
    state.status = await get("/status");
    if (!state.status.ready) return loading(state.status.loading);
    state.topics = (await get("/topics")).topics;
    hush();
    showdown.node.hidden = !state.status.dres || state.status.read_only;
    const whole = [showdown.node, el("header", { class: "top" }, link("avs", "/", { class: "brand" }), nav), banner, view, said, large.node];
    if (before !== state.status.fingerprint || !app.contains(view)) fill(app, whole);
    show();
    flush();
    loadSubmissions();
  } catch (error) {
    if (error instanceof Refused) fill(app, failure(error));
    else if (!app.contains(view)) fill(app, failure({ what: "the server cannot be reached" }));
  }
}

function loading({ what, done, of }) {
  const words = `${what} ${Math.round((100 * done) / of)} %, search works when it is there`;
  fill(app, el("div", { class: "message whole", role: "status" }, el("div", {}, el("h2", { text: "Opening the collection" }),
    el("p", { text: words }), el("progress", { max: of, value: done, "aria-label": what }))));
  setTimeout(start, 500);
}

/** The grid that is shown. */
function grid() { return view.firstChild === videoPage.node ? videoPage.grid : list.grid; }

/** The shots that a key is about: the one in the large player, or those of the range. */
function picked() { return (large.node.open ? [large.item] : grid().picked()).map((item) => item.shot); }

function judge(value) {
  const shots = picked();
  if (!shots.length) return;
  mark(shots, value);
  if (!large.node.open) grid().focus(grid().range()[1] + 1);
}

function searchLike({ shot }) {
  large.close();
  change({ parts: [{ shot }] });
}

async function feedback() {
  const { method, simulate } = state.feedback;
  try {
    const made = await send("/feedback", { topic: topicOf(), method, ...(simulate ? { simulate, list: state.answer?.list ?? null } : {}) });
    change({ feedback: made.feedback });
  } catch (error) {
    tell("problem", error);
  }
}

function playTile() {
  const tile = list.grid.tile();
  if (large.node.open) return toggle();
  if (playing() === list.grid.item?.shot) return stop();
  return tile && play(list.grid.item.shot, tile.firstChild);
}

function leave(event) {
  const dialog = [...document.querySelectorAll("dialog[open]")].at(-1);
  if (dialog) return dialog.close();
  if (view.firstChild !== search) return leavePage();
  const open = bar.node.querySelector("details[open]");
  if (open) {
    open.open = false;
    return open.firstChild.focus();
  }
  if (playing()) return stop();
  if (event.target === bar.words) return list.grid.items.length ? list.grid.focus() : bar.words.blur();
  hush();
  panel.leave();
  if (!bar.busy.hidden) list.cancel();
  return list.grid.focus();
}

function enter(event) {
  if (event.target === bar.words) return bar.ask();
  return list.grid.node.contains(event.target) && list.open(list.grid.item, list.grid.place);
}

/** A page of another machine over plain HTTP has no clipboard: the address is in its bar. */
async function copyLink() {
  await navigator.clipboard?.writeText(location.href);
  tell("say", navigator.clipboard ? "link copied" : "the address of this page is the link");
}

/** Submit the moment that is played; of what is shown as frames, the shot. */
function submitMoment() {
  const [shot, at] = [playing(), position()];
  if (shot) submit(at === null ? { shots: [shot] } : { shot, at_s: at });
}

/** The field of the question, on whatever page it was asked for. */
function toWords() {
  if (view.firstChild !== search) go(addressOf(state.query));
  bar.words.select();
}

const everywhere = { leave, help: showHelp, query: toWords, submitBasket };
const inVideo = { play: toggle, back: () => step(-1), on: () => step(1), submit: submitMoment };
const focusedItem = (run) => () => {
  const item = large.node.open ? large.item : grid().item;
  return item && run(item);
};
const judging = { yes: () => judge("yes"), no: () => judge("no"), unsure: () => judge("unsure"), undo,
  basket: () => picked().length && toggleBasket(picked()), like: focusedItem(searchLike) };
const moving = { move: (_, key) => grid().move(key), range: (_, key) => grid().move(key.replace("Shift+", ""), { range: true }) };
const player = { ...inVideo, ...judging, player: () => large.close(), leave };
const searching = {
  ...everywhere, ...judging, ...moving, search: enter, take: () => list.take(), system: (_, key) => alone(Number(key) - 1),
  topic: () => document.getElementById("topic")?.focus(), before: () => stepTopic(-1), next: () => stepTopic(1),
  feedback, revert: () => change({ feedback: null }), play: playTile, player: focusedItem((item) => large.open(item)),
  back: inVideo.back, on: inVideo.on, submit: focusedItem((item) => submit({ shots: [item.shot] })),
  video: focusedItem((item) => go(addressOf(state.query, item.shot, `/video/${encodeURIComponent(item.video)}`))),
  why: focusedItem((item) => panel.explain(item.shot).catch((error) => tell("problem", error))),
  videos: toggleVideos, duplicates: toggleDuplicates, hide: () => toggleHidden(state.status.dres ? "sent" : "judged"), link: copyLink,
};
const ofVideo = { ...everywhere, ...inVideo, ...judging, ...moving };
listenToKeys(() => {
  if (document.querySelector("dialog[open]")) return large.node.open ? player : { leave };
  if (view.firstChild === videoPage.node) return ofVideo;
  return view.firstChild === search ? searching : everywhere;
});

for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => {
  event.preventDefault();
  if (event.dataTransfer.files[0]) searchByPicture(event.dataTransfer.files[0]);
});
addEventListener("paste", (event) => event.clipboardData.files[0] && searchByPicture(event.clipboardData.files[0]));
addEventListener("beforeunload", (event) => unsent() && event.preventDefault());

await exchangeToken().catch((error) => tell("problem", error));
await start();
if (state.status) listen(({ kind, topic: of }) => {
  if (!state.status?.ready) return;
  if ((kind === "seen" || of === topicOf()) && !unsent()) loadMarks().catch(() => null);
  if (["seen", "submission", "task", "timer"].includes(kind)) submissionsSoon();
});
