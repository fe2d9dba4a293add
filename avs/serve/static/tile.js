// One shot in a grid. What is known of it is told by its border, by a glyph, and in words for who cannot see either.

import { keyframe, sprite } from "./api.js";
import { el, some } from "./dom.js";
import { state } from "./state.js";

// what is known -> [glyph, class, words]; no two glyphs in one corner are the same
export const MINE = { yes: ["✓", "yes", "marked yes"], no: ["✕", "no", "marked no"], unsure: ["?", "unsure", "marked unsure"] };
export const THEIRS = { 1: ["●", "nist-relevant", "judged relevant"], 0: ["○", "nist-not", "judged not relevant"],
  "-1": ["◌", "nist-unjudged", "pooled, not judged"] };
export const SENT = {
  queued: ["…", "is-queued", "waits to be sent"], sent: ["↑", "is-sent", "sent"], accepted: ["✓", "is-accepted", "accepted"],
  wrong: ["✕", "is-wrong", "wrong"], undecided: ["~", "is-undecided", "undecided"], rejected: ["!", "is-rejected", "refused"],
  failed: ["!!", "is-rejected", "could not be sent"], unknown: ["??", "is-unknown", "not known whether it arrived"],
  video: ["(↑)", "is-near", "another shot of its video was sent"],
};
const HELD = ["+", "held", "in basket"];
const REST_MS = 150;
const FRAMES = 8;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** The tile of a shot; `item` is a Result of the API, `place` its place in the grid. */
export function makeTile(item, place) {
  const pictures = (item.parts?.length ? item.parts : [item.shot]).map(picture);
  const sign = (kind) => el("span", { class: kind, "aria-hidden": true });
  const tile = el("div", { class: "tile", role: "gridcell", tabindex: "-1", "data-place": place, "data-shot": item.shot },
    el("div", { class: "pic" }, pictures, sign("mark"), sign("bag"), sign("out")),
    el("div", { class: "cap" }, el("span", { class: "rank", text: item.rank ?? "" }),
      el("span", { class: "video", text: item.label ?? item.video }), sign("theirs")));
  if (item.folded) {
    const label = `${some(item.folded, "more shot")} of this group`;
    tile.firstChild.append(el("button", { type: "button", class: "more", tabindex: "-1", text: `+${item.folded}`, "aria-label": label }));
  }
  showState(tile, item);
  return tile;
}

/** The signs of what is known of a shot. */
export function signsOf(item) {
  const out = SENT[state.sent.get(item.shot) ?? (state.sentVideos.has(item.video) ? "video" : "")];
  return { mark: MINE[state.marks.get(item.shot)], theirs: THEIRS[item.judgment], out, bag: state.basket.has(item.shot) && HELD };
}

/** Show what is known of the shot of a tile. */
export function showState(tile, item) {
  const signs = signsOf(item);
  const kept = ["picked", "lost"].filter((kind) => tile.classList.contains(kind));
  const known = Object.values(signs).filter(Boolean);
  tile.className = ["tile", ...known.map(([, kind]) => kind), item.member && "member", item.parts?.length > 1 && "chain", ...kept]
    .filter(Boolean).join(" ");
  for (const [name, sign] of Object.entries(signs)) tile.querySelector(`.${name}`).textContent = sign ? sign[0] : "";
  const words = [item.rank && `rank ${item.rank}`, item.shot, ...known.map(([, , one]) => one),
    item.folded && `${some(item.folded, "more shot")} of its group`];
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
  let [shown, over] = [null, null]; // {pic, strip, frame}, and the picture under the pointer
  const stop = () => {
    clearTimeout(timer);
    shown?.strip.remove();
    [shown, over] = [null, null];
  };
  const start = (pic, shot, x) => {
    if (calm.matches || !state.status?.media.videos) return;
    timer = setTimeout(() => {
      const strip = el("img", { class: "strip", alt: "", src: sprite(shot, FRAMES) });
      shown = { pic, strip };
      strip.addEventListener("load", () => {
        if (shown?.strip !== strip) return;
        pic.append(strip);
        showAt(x);
      });
    }, REST_MS);
  };
  const show = (frame) => {
    shown.frame = Math.min(FRAMES - 1, Math.max(0, frame));
    frameOf(shown.strip, shown.frame, FRAMES, shown.pic.getBoundingClientRect());
  };
  const showAt = (x) => {
    const box = shown.pic.getBoundingClientRect();
    show(Math.floor(((x - box.left) / box.width) * FRAMES));
  };
  host.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch") return;
    const pic = event.target.closest(".pic");
    if (pic === over) {
      if (shown?.strip.isConnected) showAt(event.clientX);
      return;
    }
    stop();
    over = pic;
    if (pic?.parentNode.dataset.shot) start(pic, pic.parentNode.dataset.shot, event.clientX);
  });
  host.addEventListener("wheel", (event) => {
    if (!event.shiftKey || !shown?.strip.isConnected || shown.pic.matches(".playing")) return;
    event.preventDefault();
    event.stopPropagation(); // a player is somewhere else
    show(shown.frame + Math.sign(event.deltaY || event.deltaX));
  }, { capture: true, passive: false });
  host.addEventListener("pointerleave", stop);
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
