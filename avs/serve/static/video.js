// The video of a shot: a strip of the shots around it with a line of all hits, and a page of all its shots.

import { facts } from "./api.js";
import { button, clock, el, fill, some, svg } from "./dom.js";
import { Grid } from "./grid.js";
import { play, stop } from "./player.js";
import { filterBy } from "./search.js";
import { addressOf, leavePage, link, state } from "./state.js";
import { submit } from "./submit.js";
import { picture } from "./tile.js";

const AROUND = 5;
const LINE = 1000;

const videoAddress = (video, shot = null) => addressOf(state.query, shot, `/video/${encodeURIComponent(video)}`);

/** The strip below the grid. `hooks`: focus(shot), play(item). */
export class Strip {
  constructor(hooks) {
    this.hooks = hooks;
    this.shots = el("div", { class: "around" });
    this.line = el("div", { class: "hits" });
    this.node = el("section", { class: "strip-box", "aria-label": "Video of the shot" }, this.shots, this.line);
  }
  async show(item, items) {
    this.shot = item?.shot;
    if (!item) return fill(this.shots), fill(this.line);
    let video;
    try {
      video = await facts(`/videos/${encodeURIComponent(item.video)}`);
    } catch {
      return null; // the banner says that the server is gone
    }
    if (this.shot !== item.shot) return null;
    const at = video.shots.findIndex((one) => one.shot === item.shot);
    const first = Math.max(0, Math.min(at - AROUND, video.shots.length - 2 * AROUND - 1));
    const hits = new Map(items.filter((one) => one?.video === item.video).map((one) => [one.shot, one.rank]));
    fill(this.shots, video.shots.slice(first, first + 2 * AROUND + 1).map((one) => this.one(one, item, hits)));
    fill(this.line, link(`${video.video} · ${some(video.shots.length, "shot")}`, videoAddress(video.video, item.shot)),
      this.times(video, item, hits), el("span", { class: "muted", text: some(hits.size, "hit") }), this.filters(video.video));
  }

  /** Ways to search this video alone, or all but it. */
  filters(video) {
    const { videos, not_videos: not } = state.query.filter;
    const others = (list) => list.filter((one) => one !== video);
    return [button("Only this video", () => filterBy({ videos: [video], not_videos: others(not) }), { class: "quiet" }),
      button("Not this video", () => filterBy({ videos: others(videos), not_videos: [...others(not), video] }), { class: "quiet" })];
  }
  one(one, item, hits) {
    const run = () => (hits.has(one.shot) ? this.hooks.focus(one.shot) : this.hooks.play({ ...one, video: item.video }));
    const words = hits.has(one.shot) ? `${one.shot}, rank ${hits.get(one.shot)}` : `${one.shot}, not in the list`;
    return el("button", { type: "button", class: "small", "aria-label": words, title: words, on: { click: run },
      "aria-current": one.shot === item.shot ? "true" : null }, el("span", { class: "pic" }, picture(one.shot)),
      el("span", { class: "cap", text: hits.has(one.shot) ? `#${hits.get(one.shot)}` : clock(one.start_s) || " " }));
  }
  times(video, item, hits) {
    const last = video.shots.at(-1)?.end_s;
    if (!last) return null;
    const marks = video.shots.filter((one) => hits.has(one.shot) || one.shot === item.shot).map((one) => svg("rect", {
      x: (one.start_s / last) * LINE, width: Math.max(2, ((one.end_s - one.start_s) / last) * LINE), y: 0, height: 8,
      class: one.shot === item.shot ? "here" : "hit" }));
    return svg("svg", { viewBox: `0 0 ${LINE} 8`, preserveAspectRatio: "none", class: "times", "aria-hidden": true }, marks);
  }
}

/** The page of a video: its player beside all its shots. */
export class VideoPage {
  constructor() {
    this.stage = el("div", { class: "stage" });
    this.title = el("h1");
    this.note = el("p", { class: "muted" });
    this.grid = new Grid("Shots of the video", { focus: (item) => this.load(item), zoom: (item) => this.load(item),
      submit: (item) => submit({ shots: [item.shot] }) });
    this.node = el("section", { class: "video-page" }, el("div", { class: "beside" }, this.stage, this.title, this.note,
      button("Back to the list", leavePage, { class: "quiet" })), this.grid.node);
  }
  load(item) {
    if (item.shot !== this.shot) play(item.shot, this.stage);
    this.shot = item.shot;
  }
  async show(id, at) {
    this.title.textContent = `Video ${id}`;
    this.shot = null;
    stop();
    fill(this.note);
    try {
      const video = await facts(`/videos/${encodeURIComponent(id)}`);
      const words = [some(video.shots.length, "shot"), clock(video.duration_s), video.fps && `${video.fps.toFixed(2)} frames a second`,
        video.codec, video.problem];
      this.note.textContent = words.filter(Boolean).join(" · ");
      this.grid.show(video.shots.map((one) => ({ ...one, video: id, label: `${one.shot} · ${clock(one.start_s)}` })));
      this.grid.focus(Math.max(0, video.shots.findIndex((one) => one.shot === at)));
    } catch (error) {
      this.grid.show([]);
      this.note.textContent = error.message;
    }
  }
}
