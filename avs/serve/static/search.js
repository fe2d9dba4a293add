// The bar of a question: topic, words, systems, and how the list is shown. Every change is a new address.

import { send, upload } from "./api.js";
import { button, el, field, fill, number, pressed, select, some } from "./dom.js";
import { addressOf, fresh, go, partsOf, state, tell, wordsOf } from "./state.js";

const GROUPS = [["shot", "Shots"], ["video", "Videos"], ["first-of-video", "First of video"]];
const HIDDEN = ["sent", "judged", "seen"];
const DUPLICATES = 0.95;
const WEIGHTED = "weighted";
const MOST_CHIPS = 4;

/** Ask a question that differs in some ways. Feedback is of one question alone, and a list of a file has the words of its topic. */
export function change(differences, how = {}) {
  const query = { ...state.query, ...differences };
  if (("parts" in differences || "topic" in differences) && !("feedback" in differences)) query.feedback = null;
  if ("parts" in differences && !("topic" in differences)) query.by = query.by.filter((name) => systemOf(name)?.kind !== "list");
  go(addressOf(query), how);
}

/** Ask with another filter. */
export function filterBy(differences) { change({ filter: { ...state.query.filter, ...differences } }); }

/** The bar. */
export class Bar {
  constructor() {
    this.words = field("text", "Question", { class: "words", autocomplete: "off", spellcheck: "false", maxlength: 2000,
      placeholder: "What do you look for?  a < b: first a, then b" });
    this.entered = false; // whether its words were asked, and nothing was typed since
    for (const kind of ["focus", "input"]) this.words.addEventListener(kind, () => (this.entered = false));
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
    const file = field("file", "Picture", { accept: "image/*", hidden: true },
      () => file.files[0] && searchByPicture(file.files[0]).then(() => (file.value = "")));
    const open = button("Picture", () => file.click(), { class: "quiet", title: "search with a picture: choose, drop or paste one" });
    this.picture = el("span", { class: "picture", hidden: true }, open, file);
    return this.picture;
  }

  /** Ask what is in the field. */
  ask() {
    const words = this.words.value.trim();
    if (!words) return;
    this.entered = true;
    change({ parts: partsOf(words) });
    this.words.value = this.asked = wordsOf(state.query);
  }

  /** Show the question that is asked. */
  show() {
    const { query, status } = state;
    const [words, held] = [wordsOf(query), document.activeElement];
    if (words !== this.asked && (held !== this.words || !this.words.value)) this.words.value = words;
    this.asked = words;
    const name = this.node.contains(held) && held.matches(":focus-visible") ? nameOf(held) : null;
    this.picture.hidden = !status.systems.some((system) => system.images) || status.read_only;
    fill(this.topic, state.topics.length ? this.topics(query) : null);
    if (!this.sliding) fill(this.controls, this.systems(query), this.fuse(query), query.parts.length > 1 ? this.within(query) : null);
    fill(this.shownAs, this.groups(query), pressed(`Fold duplicates ${query.duplicates ?? ""}`.trim(), query.duplicates !== null, toggleDuplicates),
      this.hiding(query), this.texts(query), this.filtered(query));
    if (name) [...this.node.querySelectorAll("input, select, button, summary")].find((one) => nameOf(one) === name)?.focus();
  }
  topics(query) {
    const options = state.topics.map((topic) => [topic.id, `${topic.id}  ${topic.text}`]);
    const node = select("Topic", [["", "No topic"], ...options], query.topic ?? "", chooseTopic);
    node.id = "topic";
    return node;
  }
  systems(query) {
    const asked = query.by.length ? query.by : stores();
    const choose = () => {
      const by = [...menu.querySelectorAll("input:checked")].map((box) => box.value);
      if (by.length) change({ by, weights: weighted(query.fuse, by) });
      else tell("say", "one system at least");
    };
    const weigh = (name) => {
      const slide = (sliding) => ({ target }) => {
        this.sliding = sliding; // its nodes must stay
        change({ weights: { ...state.query.weights, [name]: Number(target.value) } }, { replace: true });
      };
      return el("input", { type: "range", "aria-label": `Weight of ${name}`, min: 0, max: 1, step: 0.05, value: query.weights[name] ?? 1,
        on: { input: slide(true), change: slide(false) } });
    };
    const rows = rankers().map((system, place) => {
      const box = el("input", { type: "checkbox", value: system.name, on: { change: choose } });
      box.checked = asked.includes(system.name);
      const { partial, failed } = system.problems;
      const spoiled = partial + failed ? `, ${partial} partial, ${failed} failed` : "";
      const note = `${system.kind}${system.whole ? "" : ", first shots only"}${spoiled}`;
      return el("label", {}, box, el("span", { text: system.name }),
        query.fuse === WEIGHTED && box.checked ? weigh(system.name) : el("small", { text: note }), place < 9 ? el("kbd", { text: place + 1 }) : null);
    });
    const judged = state.topics.find((one) => one.id === query.topic)?.judged;
    const menu = el("details", { class: "menu" },
      el("summary", { text: asked.length === 1 ? asked[0] : some(asked.length, "system") }), el("div", {}, rows,
      query.fuse === WEIGHTED && judged ? el("p", { class: "warning", text: "tuned on this topic" }) : null,
      query.fuse === WEIGHTED && query.topic && !state.status.read_only ? this.keeping(query, asked) : null));
    menu.open = this.controls.querySelector("details.menu")?.open ?? false;
    return menu;
  }

  /** Keep the weights as a fuser, which knows the topic that they were tuned on. */
  keeping(query, systems) {
    const name = field("text", "Name of the fuser", { placeholder: "name", pattern: "[A-Za-z0-9][A-Za-z0-9_\\-]{0,63}", required: true });
    const keep = async (event) => {
      event.preventDefault();
      try {
        const made = await send("/fusers", { name: name.value, topic: query.topic, systems, weights: weighted(WEIGHTED, systems) });
        tell("say", `${made.folder}: learned from ${made.fitted_on.join(", ")}, and says so`);
        tell("changed");
      } catch (error) {
        tell("problem", error);
      }
    };
    return el("form", { class: "keep", on: { submit: keep } }, name, el("button", { text: "Keep as a fuser" }));
  }
  fuse(query) {
    const fusers = state.status.systems.filter((system) => system.kind === "fuser").map((one) => one.name);
    const asked = query.by.length ? query.by : stores();
    if (asked.length < 2 && !fusers.length) return null;
    return select("Fuse by", ["average", "rrf", WEIGHTED, ...fusers].map((one) => [one, one]), query.fuse,
      (fuse) => change({ fuse, by: fusers.includes(fuse) ? [] : query.by, weights: weighted(fuse, asked) }));
  }
  within(query) {
    return el("label", { class: "within" }, "within ", field("number", "Seconds between", { min: 0, max: 86400, step: 1, value: query.within_s },
      (node) => change({ within_s: Number(node.value) })), " s");
  }
  groups(query) {
    return el("div", { class: "segments", role: "group", "aria-label": "Show" }, GROUPS.map(([group, words]) =>
      pressed(words, query.group === group, () => change({ group }))));
  }
  hiding(query) {
    const kinds = HIDDEN.filter((kind) => known(kind) || query.filter.hide.includes(kind));
    return kinds.length ? el("div", { class: "hide", role: "group", "aria-label": "Hide" }, el("span", { class: "label", text: "Hide" }),
      kinds.map((kind) => pressed(kind, query.filter.hide.includes(kind), () => toggleHidden(kind)))) : null;
  }

  /** Words that must be in the texts of a shot, of all kinds or of one. */
  texts({ filter }) {
    const kinds = Object.keys(state.status.texts);
    if (!kinds.length) return null;
    const asked = filter.kinds.join(", "); // an address may name several
    const options = [["", "all texts"], ...[...new Set([...kinds, asked])].filter(Boolean).map((kind) => [kind, kind])];
    const props = { value: filter.words, maxlength: 500, placeholder: "words in texts" };
    return el("div", { class: "texts" }, field("search", "Words in texts", props, (node) => filterBy({ words: node.value.trim() })),
      kinds.length > 1 ? select("Kind of text", options, asked, (kind) => filterBy({ kinds: kind ? [kind] : [] })) : null);
  }

  /** What else bends the list, each with a way out. */
  filtered({ feedback, filter }) {
    const chip = (words, run) => el("span", { class: "chip" }, words, button("×", run, { "aria-label": `without ${words}` }));
    const videos = (name, words) => {
      const all = filter[name];
      const rest = all.length - MOST_CHIPS;
      return [...all.slice(0, MOST_CHIPS).map((video) => chip(`${words} ${video}`, () => filterBy({ [name]: all.filter((one) => one !== video) }))),
        rest > 0 ? chip(`${words} ${rest} more`, () => filterBy({ [name]: all.slice(0, MOST_CHIPS) })) : null];
    };
    return [feedback ? chip("with my marks", () => change({ feedback: null })) : null, videos("videos", "only"), videos("not_videos", "not")];
  }

  /** Say what was found; `answer` is a line of the search. */
  count(answer) {
    const first = answer.systems.filter((one) => one.scored < one.of && systemOf(one.name)?.kind === "model");
    const folded = answer.rows < answer.total ? `, ${number(answer.rows)} shown` : "";
    const ms = Object.values(answer.ms).reduce((sum, one) => sum + one, 0);
    const words = [`${number(answer.total)} of ${number(answer.of)}${answer.exact ? " exact" : ", not exact"}${folded}`,
      ...first.map((one) => `${one.name}: first ${number(one.scored)} only`),
      ...answer.taken.filter((one) => one.shots).map((one) => `${one.filter.replace("_", " ")}: ${number(one.shots)}`)];
    fill(this.counts, answer.warnings.length ? el("details", { class: "menu warnings" },
      el("summary", { text: some(answer.warnings.length, "warning") }), el("div", {}, answer.warnings.map((one) => el("p", { text: one })))) : null,
      answer.stamp === "automatic-invalid" ? el("strong", { class: "stamp", text: "automatic-invalid: judgments helped" }) : null,
      el("span", { text: words.join(" · ") }), el("span", { class: "ms", text: `${Math.round(ms)} ms` }));
  }
}

/** What a control is called, whatever it is set to. */
function nameOf(node) { return node.ariaLabel ?? (node.type === "checkbox" ? node.value : node.textContent.replace(/[\d., ]+/g, "")); }

/** The systems that are chosen by name. */
function rankers() { return state.status.systems.filter((one) => one.kind !== "fuser"); }

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
  const system = rankers()[place];
  if (!system) return;
  change({ by: String(state.query.by) === system.name ? [] : [system.name], fuse: "average", weights: {} });
}

export function toggleDuplicates() { change({ duplicates: state.query.duplicates === null ? DUPLICATES : null }); }

/** Whether the server knows such shots: to a read-only one nobody tells what is judged or seen. */
function known(kind) { return kind === "sent" ? state.status.dres : !state.status.read_only; }

export function toggleHidden(kind) {
  const { hide } = state.query.filter;
  if (!known(kind) && !hide.includes(kind)) return tell("say", "a read-only server does not know what you judge");
  return filterBy({ hide: hide.includes(kind) ? hide.filter((one) => one !== kind) : [...hide, kind] });
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
