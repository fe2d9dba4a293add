// The bar of a question: topic, words, systems, and how the list is shown. Every change is a new address.

import { upload } from "./api.js";
import { button, el, fill, number, select, some } from "./dom.js";
import { addressOf, fresh, go, partsOf, state, tell, wordsOf } from "./state.js";

const GROUPS = [["shot", "Shots"], ["video", "Videos"], ["first-of-video", "First of video"]];
const HIDDEN = [["judged", "judged"], ["seen", "seen"]];
const DUPLICATES = 0.95;
const WEIGHTED = "weighted";

/** Ask a question that differs in some ways. Feedback is of one question alone. */
export function change(differences) {
  const query = { ...state.query, ...differences };
  if (("parts" in differences || "topic" in differences) && !("feedback" in differences)) query.feedback = null;
  go(addressOf(query));
}

/** The bar. */
export class Bar {
  constructor() {
    this.words = el("input", {
      type: "text", class: "words", "aria-label": "Question", autocomplete: "off", spellcheck: "false", maxlength: 2000,
      placeholder: "What do you look for?  a < b: first a, then b",
    });
    this.form = el("form", { class: "ask", role: "search", on: { submit: (event) => event.preventDefault() } }, this.words, this.picker());
    this.controls = el("div", { class: "controls" });
    this.shownAs = el("div", { class: "shown-as" });
    this.counts = el("div", { class: "counts", role: "status", "aria-live": "polite" });
    this.busy = el("div", { class: "busy", hidden: true });
    this.topic = el("div", { class: "topic-box" });
    this.node = el("div", { class: "bar" }, el("div", { class: "line" }, this.topic, this.form, this.controls),
      el("div", { class: "line second" }, this.shownAs, this.counts), this.busy);
    document.addEventListener("click", (event) => {
      for (const menu of this.node.querySelectorAll("details[open]")) if (!menu.contains(event.target)) menu.open = false;
    });
  }
  picker() {
    const file = el("input", { type: "file", accept: "image/*", hidden: true, "aria-label": "Picture" });
    file.addEventListener("change", () => file.files[0] && searchByPicture(file.files[0]).then(() => (file.value = "")));
    const open = button("Picture", () => file.click(), { class: "quiet", title: "search with a picture: choose, drop or paste one" });
    this.picture = el("span", { class: "picture", hidden: true }, open, file);
    return this.picture;
  }

  /** Ask what is in the field. */
  ask() {
    const words = this.words.value.trim();
    if (!words) return;
    change({ parts: partsOf(words) });
    this.words.value = wordsOf(state.query);
  }

  /** Show the question that is asked. */
  show() {
    const { query, status } = state;
    if (document.activeElement !== this.words || !this.words.value) this.words.value = wordsOf(query);
    const sees = status.systems.some((system) => system.images);
    this.picture.hidden = !sees || status.read_only;
    fill(this.topic, state.topics.length ? this.topics(query) : null);
    fill(this.controls, this.systems(query), this.fuse(query), query.parts.length > 1 ? this.within(query) : null);
    fill(this.shownAs, this.groups(query), this.folding(query), this.hiding(query), this.filtered(query));
  }
  topics(query) {
    const options = state.topics.map((topic) => [topic.id, `${topic.id}  ${topic.text}`]);
    const node = select("Topic", [["", "No topic"], ...options], query.topic ?? "", chooseTopic);
    node.id = "topic";
    return node;
  }
  systems(query) {
    const named = state.status.systems.filter((system) => system.kind !== "fuser");
    const asked = query.by.length ? query.by : stores();
    const choose = () => {
      const by = [...menu.querySelectorAll("input:checked")].map((box) => box.value);
      if (by.length) change({ by, weights: weighted(query.fuse, by) });
      else tell("say", "one system at least");
    };
    const weigh = (name) => {
      const node = el("input", { type: "range", min: 0, max: 1, step: 0.05, "aria-label": `Weight of ${name}`, value: query.weights[name] ?? 1 });
      node.addEventListener("change", () => change({ weights: { ...query.weights, [name]: Number(node.value) } }));
      return node;
    };
    const rows = named.map((system, place) => {
      const box = el("input", { type: "checkbox", value: system.name, on: { change: choose } });
      box.checked = asked.includes(system.name);
      const { partial, failed } = system.problems;
      const spoiled = partial + failed ? `, ${partial} partial, ${failed} failed` : "";
      const note = `${system.kind}${system.whole ? "" : ", first shots only"}${spoiled}`;
      return el("label", {}, box, el("span", { text: system.name }),
        query.fuse === WEIGHTED && box.checked ? weigh(system.name) : el("small", { text: note }), place < 9 ? el("kbd", { text: place + 1 }) : null);
    });
    const menu = el("details", { class: "menu" },
      el("summary", { text: asked.length === 1 ? asked[0] : some(asked.length, "system") }), el("div", {}, rows,
      query.fuse === WEIGHTED && state.answer?.measures ? el("p", { class: "warning", text: "tuned on this topic" }) : null));
    menu.open = this.controls.querySelector("details.menu")?.open ?? false;
    return menu;
  }
  fuse(query) {
    const fusers = state.status.systems.filter((system) => system.kind === "fuser");
    const ways = [["average", "average"], ["rrf", "rrf"], [WEIGHTED, WEIGHTED], ...fusers.map((one) => [one.name, one.name])];
    const asked = query.by.length ? query.by : stores();
    if (asked.length < 2 && !fusers.length) return null;
    return select("Fuse by", ways, query.fuse, (fuse) => change({ fuse, by: fusers.some((one) => one.name === fuse) ? [] : query.by,
      weights: weighted(fuse, asked) }));
  }
  within(query) {
    const node = el("input", { type: "number", min: 0, max: 86400, step: 1, value: query.within_s, "aria-label": "Seconds between" });
    node.addEventListener("change", () => node.checkValidity() && change({ within_s: Number(node.value) }));
    return el("label", { class: "within" }, "within ", node, " s");
  }
  groups(query) {
    return el("div", { class: "segments", role: "group", "aria-label": "Show" }, GROUPS.map(([group, words]) =>
      button(words, () => change({ group }), { "aria-pressed": String(query.group === group) })));
  }
  folding(query) {
    const words = `Fold duplicates${query.duplicates ? ` ${query.duplicates}` : ""}`;
    return button(words, toggleDuplicates, { class: "toggle", "aria-pressed": String(query.duplicates !== null) });
  }
  hiding(query) {
    return el("div", { class: "hide", role: "group", "aria-label": "Hide" }, el("span", { class: "label", text: "Hide" }),
      HIDDEN.map(([kind, words]) => button(words, () => toggleHidden(kind),
        { class: "toggle", "aria-pressed": String(query.filter.hide.includes(kind)) })));
  }

  /** What else bends the list, each with a way out. */
  filtered(query) {
    const chip = (words, differences) => el("span", { class: "chip" }, words,
      button("×", () => change(differences), { "aria-label": `without ${words}` }));
    const { videos, not_videos } = query.filter;
    const only = (name) => ({ filter: { ...query.filter, [name]: [] } });
    return [query.feedback ? chip("with my marks", { feedback: null }) : null,
      videos.length ? chip(`only ${videos.join(", ")}`, only("videos")) : null,
      not_videos.length ? chip(`not ${not_videos.join(", ")}`, only("not_videos")) : null];
  }

  /** Say what was found; `answer` is a line of the search. */
  count(answer) {
    const first = answer.systems.filter((one) => one.scored < one.of && systemOf(one.name)?.kind === "model");
    const folded = answer.rows < answer.total ? `, ${number(answer.rows)} shown` : "";
    const ms = Object.values(answer.ms).reduce((sum, one) => sum + one, 0);
    const words = [`${number(answer.total)} of ${number(answer.of)}${answer.exact ? " exact" : ", not exact"}${folded}`,
      ...first.map((one) => `${one.name}: first ${number(one.scored)} only`),
      ...answer.taken.filter((one) => one.shots).map((one) => `${one.filter}: ${number(one.shots)}`),
      answer.stamp === "automatic-invalid" ? "simulated user: no valid run" : null];
    fill(this.counts, answer.warnings.length ? this.warnings(answer.warnings) : null,
      el("span", { text: words.filter(Boolean).join(" · ") }), el("span", { class: "ms", text: `${Math.round(ms)} ms` }));
  }
  warnings(all) {
    return el("details", { class: "menu warnings" }, el("summary", { text: some(all.length, "warning") }),
      el("div", {}, all.map((one) => el("p", { text: one }))));
  }
}

/** The systems that are asked where none is named. */
function stores() { return state.status.systems.filter((one) => one.kind === "store" && one.texts).map((one) => one.name); }

function weighted(fuse, names) {
  return fuse === WEIGHTED ? Object.fromEntries(names.map((name) => [name, state.query.weights[name] ?? 1])) : {};
}

/** What is known of a system. */
export function systemOf(name) { return state.status.systems.find((system) => system.name === name); }

/** Show the list of a topic's own sentence. */
export function chooseTopic(id) {
  const topic = state.topics.find((one) => one.id === id);
  if (topic) change({ topic: id, parts: topic.text ? [{ text: topic.text }] : state.query.parts });
  else change({ topic: null });
}

/** The topic before, or the next. */
export function stepTopic(step) {
  const at = state.topics.findIndex((topic) => topic.id === state.query.topic);
  const next = state.topics[at < 0 ? 0 : at + step];
  if (next) chooseTopic(next.id);
  else tell("say", step > 0 ? "this is the last topic" : "this is the first topic");
}

/** One system alone, and all again. */
export function alone(place) {
  const system = state.status.systems.filter((one) => one.kind !== "fuser")[place];
  if (!system) return;
  const is = state.query.by.length === 1 && state.query.by[0] === system.name;
  change({ by: is ? [] : [system.name], fuse: "average", weights: {} });
}

export function toggleDuplicates() { change({ duplicates: state.query.duplicates === null ? DUPLICATES : null }); }

export function toggleHidden(kind) {
  const hide = state.query.filter.hide.includes(kind)
    ? state.query.filter.hide.filter((one) => one !== kind) : [...state.query.filter.hide, kind];
  change({ filter: { ...state.query.filter, hide } });
}

/** By video, or as ranked again. */
export function toggleVideos() { change({ group: state.query.group === "video" ? "shot" : "video" }); }

/** Search with a picture that was chosen, dropped or pasted. */
export async function searchByPicture(file) {
  const most = state.status.limits.upload_bytes;
  if (file.size > most) {
    tell("problem", { what: "the picture is too large", got: `${number(file.size)} bytes`, wanted: `at most ${number(most)}` });
    return;
  }
  try {
    const { image, systems } = await upload(file);
    const by = state.query.by.filter((name) => systems.includes(name));
    go(addressOf({ ...fresh(), topic: state.query.topic, parts: [{ image }], by: by.length ? by : systems }));
  } catch (error) {
    tell("problem", error);
  }
}
