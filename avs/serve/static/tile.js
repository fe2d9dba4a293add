// One shot in a grid. What is known of it is told by its border, by a glyph, and in words for who cannot see either.

import { keyframe, sprite } from "./api.js";
import { el, some } from "./dom.js";
import { state } from "./state.js";

const MINE = { yes: ["✓", "yes"], no: ["✕", "no"], unsure: ["?", "unsure"] };
const THEIRS = { 1: ["●", "relevant", "judged relevant"], 0: ["○", "not", "judged not relevant"],
  "-1": ["◌", "unjudged", "pooled, not judged"] };
const REST_MS = 150;
const FRAMES = 8;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** The tile of a shot; `item` is a Result of the API, `place` its place in the grid. */
export function makeTile(item, place) {
  const pictures = (item.parts?.length ? item.parts : [item.shot]).map(picture);
  const tile = el("div", { class: "tile", role: "gridcell", tabindex: "-1", "data-place": place, "data-shot": item.shot },
    el("div", { class: "pic" }, pictures,
      el("span", { class: "mark", "aria-hidden": true }), el("span", { class: "bag", "aria-hidden": true })),
    el("div", { class: "cap" },
      el("span", { class: "rank", text: item.rank ?? "" }), el("span", { class: "video", text: item.label ?? item.video }),
      el("span", { class: "theirs", "aria-hidden": true })));
  if (item.folded) {
    const many = el("button", { type: "button", class: "more", tabindex: "-1", text: `+${item.folded}` });
    many.setAttribute("aria-label", `${some(item.folded, "more shot")} of this group`);
    tile.firstChild.append(many);
  }
  showState(tile, item);
  return tile;
}

/** Show what is known of the shot of a tile. */
export function showState(tile, item) {
  const mine = state.marks.get(item.shot);
  const held = state.basket.has(item.shot);
  const theirs = THEIRS[item.judgment];
  const kept = ["picked", "lost"].filter((kind) => tile.classList.contains(kind));
  tile.className = ["tile", mine, theirs && `nist-${theirs[1]}`, held && "held", item.sent && "sent", item.member && "member",
    item.parts?.length > 1 && "chain", ...kept].filter(Boolean).join(" ");
  tile.querySelector(".mark").textContent = mine ? MINE[mine][0] : "";
  tile.querySelector(".bag").textContent = held ? "+" : "";
  tile.querySelector(".theirs").textContent = theirs ? theirs[0] : "";
  const words = [item.rank && `rank ${item.rank}`, item.shot, mine && `marked ${MINE[mine][1]}`, theirs?.[2],
    held && "in basket", item.sent && "sent", item.folded && `${some(item.folded, "more shot")} of its group`];
  tile.setAttribute("aria-label", words.filter(Boolean).join(", "));
}

/** A picture of a shot; its id on grey where there is none. */
export function picture(shot) {
  if (state.status?.media && !state.status.media.keyframes) return el("span", { class: "none", text: shot });
  const image = el("img", { src: keyframe(shot, 160), alt: "", decoding: "async", draggable: "false" });
  image.addEventListener("error", () => {
    image.closest(".tile")?.classList.add("lost");
    image.replaceWith(el("span", { class: "none", text: shot, title: "there is no picture of this shot" }));
  });
  return image;
}

/** A picture of a shot with words below. */
export function small(shot, words, ...more) {
  return el("span", { class: "small", title: shot }, el("span", { class: "pic" }, picture(shot)), el("span", { class: "cap", text: words }), more);
}

/** Frames of the shot under the pointer: by where it is from left to right, after it has rested. */
export function scrubbing(host) {
  let timer = 0;
  let shown = null;
  const stop = () => {
    clearTimeout(timer);
    shown?.strip.remove();
    shown = null;
  };
  const start = (pic, shot, x) => {
    if (calm.matches || !state.status?.media.videos) return;
    timer = setTimeout(() => {
      const strip = el("img", { class: "strip", alt: "", src: sprite(shot, FRAMES) });
      shown = { pic, strip };
      strip.addEventListener("load", () => {
        if (shown?.strip !== strip) return;
        pic.append(strip);
        show(x);
      });
    }, REST_MS);
  };
  const show = (x) => {
    const box = shown.pic.getBoundingClientRect();
    const frame = Math.min(FRAMES - 1, Math.max(0, Math.floor(((x - box.left) / box.width) * FRAMES)));
    frameOf(shown.strip, frame, FRAMES, box);
  };
  let over = null;
  host.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch") return;
    const pic = event.target.closest(".pic");
    if (pic === over) {
      if (shown?.strip.isConnected) show(event.clientX);
      return;
    }
    stop();
    over = pic;
    if (pic?.parentNode.dataset.shot) start(pic, pic.parentNode.dataset.shot, event.clientX);
  });
  host.addEventListener("pointerleave", () => {
    stop();
    over = null;
  });
}

/** Show one frame of a strip of frames in a box. */
export function frameOf(strip, frame, frames, box) {
  const ratio = strip.naturalWidth / frames / strip.naturalHeight;
  const width = Math.min(box.width, box.height * ratio);
  strip.style.width = `${width * frames}px`;
  strip.style.height = `${width / ratio}px`;
  strip.style.left = `${(box.width - width) / 2 - frame * width}px`;
  strip.style.top = `${(box.height - width / ratio) / 2}px`;
  const left = frame * width;
  strip.style.clipPath = `inset(0 ${width * (frames - 1) - left}px 0 ${left}px)`;
}
