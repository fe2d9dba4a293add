// One player, reused: in a tile, large over the page, or beside the shots of a video. What cannot be played is shown as frames.

import { facts, sprite } from "./api.js";
import { button, clock, el, fill } from "./dom.js";
import { tell } from "./state.js";
import { frameOf, signsOf } from "./tile.js";

const FRAMES = 24;
const FRAME_MS = 160;
const LATE_S = 0.002; // a seek to the very start of a frame may show the one before

const video = el("video", { muted: true, playsinline: true, preload: "none", disablepictureinpicture: true });
video.muted = true;
const strip = el("img", { alt: "", class: "strip" });
const says = el("p", { class: "player-note", role: "status" });
const state = { shot: null, host: null, start: 0, end: 0, fps: 25, frame: 0, timer: 0, turn: 0 };
const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** The shot that is shown, or null. Its tile may be gone: scrolled away, or made anew. */
export function playing() { return state.host?.isConnected ? state.shot : null; }

/** Where the player is, in seconds of the file; null where there are only frames. */
export function position() { return video.isConnected && video.readyState >= 1 ? video.currentTime : null; }

/** Play a shot in an element, in a loop. */
export async function play(shot, host) {
  stop();
  const turn = ++state.turn;
  [state.shot, state.host] = [shot, host];
  host.classList.add("playing");
  fill(says);
  let known;
  try {
    known = await facts(`/shots/${encodeURIComponent(shot)}`);
  } catch (error) {
    if (turn === state.turn) note(error.message);
    return;
  }
  if (turn !== state.turn) return;
  if (!known.media) return void unplayable(shot, known.video);
  if (known.start_in_file_s === null) return void frames(shot, "The times of this shot are not known.");
  Object.assign(state, { start: known.start_in_file_s, end: known.end_in_file_s, fps: known.fps ?? 25 });
  video.setAttribute("aria-label", `Video of ${shot}`);
  host.append(video, says);
  video.onerror = () => turn === state.turn && unplayable(shot, known.video);
  // Chromium ends the clock of some files before their last frames: what it cannot reach is shown as frames
  const begin = () => (video.videoWidth && state.start < video.duration ? seek(state.start) : unplayable(shot, known.video));
  video.onloadedmetadata = () => turn === state.turn && begin();
  if (video.dataset.video === known.video && video.readyState >= 1 && !video.error) begin();
  else {
    video.dataset.video = known.video;
    video.src = known.media;
    video.load();
  }
  video.play().catch(() => null);
  watch(turn);
}

/** Stop, and leave the page as it was. */
export function stop() {
  state.turn++;
  clearInterval(state.timer);
  video.pause();
  state.host?.classList.remove("playing");
  for (const node of [video, strip, says]) node.remove();
  [state.shot, state.host] = [null, null];
}

/** Play or pause. */
export function toggle() {
  if (video.paused) video.play().catch(() => null);
  else video.pause();
}

/** A frame on, or back. */
export function step(way) {
  if (!state.shot) return;
  if (strip.isConnected) {
    clearInterval(state.timer);
    show((state.frame + way + FRAMES) % FRAMES);
    return;
  }
  video.pause();
  const last = state.end - 1 / state.fps;
  seek(Math.min(Math.max(last, state.start), Math.max(state.start, video.currentTime - LATE_S + way / state.fps)));
}

function seek(seconds) { video.currentTime = seconds + LATE_S; }

/** Keep the player inside the shot. */
function watch(turn) {
  if (turn !== state.turn) return;
  const out = video.currentTime >= state.end - LATE_S || video.currentTime < state.start - 0.5 / state.fps;
  if (video.readyState >= 1 && !video.seeking && (out || video.ended)) {
    seek(state.start);
    if (video.ended) video.play().catch(() => null);
  }
  requestAnimationFrame(() => watch(turn));
}

async function unplayable(shot, id) {
  const { turn } = state;
  const { codec, problem } = await facts(`/videos/${encodeURIComponent(id)}`).catch(() => ({}));
  delete video.dataset.video;
  if (turn !== state.turn) return;
  frames(shot, problem ? `Its video cannot be shown: ${problem}.` : `This browser cannot play ${codec ?? "this video"}: ${FRAMES} frames instead.`);
}

/** Frames of the shot from the server, one after another. */
function frames(shot, words) {
  video.remove();
  strip.onload = () => {
    if (state.shot !== shot) return;
    show(0);
    if (!calm.matches) state.timer = setInterval(() => show((state.frame + 1) % FRAMES), FRAME_MS);
  };
  strip.onerror = () => state.shot === shot && (strip.remove(), note(`${words} There are no frames either.`));
  strip.src = sprite(shot, FRAMES);
  state.host.append(strip, says);
  note(words);
}

function show(frame) {
  state.frame = frame;
  if (strip.naturalWidth && state.host) frameOf(strip, frame, FRAMES, state.host.getBoundingClientRect());
}

function note(words) {
  says.textContent = words;
  state.host?.append(says);
}

/** The large player over the page. */
export class Large {
  constructor() {
    this.stage = el("div", { class: "stage", tabindex: "-1" });
    this.title = el("div", { class: "title" });
    this.known = el("div", { class: "muted", role: "status" });
    this.node = el("dialog", { class: "large", "aria-label": "Player" }, this.stage,
      el("div", { class: "foot" }, this.title, this.known, el("div", { class: "buttons" },
        button("‹ frame", () => step(-1)), button("Play or pause", toggle), button("frame ›", () => step(1)),
        button("Close", () => this.close()))));
    this.node.addEventListener("close", () => {
      stop();
      tell("closed");
    });
    this.node.addEventListener("cancel", (event) => {
      event.preventDefault();
      this.close();
    });
  }
  open(item) {
    this.item = item;
    this.refresh();
    if (!this.node.open) this.node.showModal();
    this.stage.focus();
    fill(this.title, el("b", { text: item.shot }), el("span", { class: "muted", text: ` ${clock(item.start_s)} – ${clock(item.end_s)}` }));
    play(item.shot, this.stage);
  }
  close() { this.node.close(); }

  /** Show again what is known of the shot. */
  refresh() {
    const known = this.item ? Object.values(signsOf(this.item)).filter(Boolean) : [];
    this.known.textContent = known.map(([glyph, , words]) => `${glyph} ${words}`).join(" · ");
  }
}
