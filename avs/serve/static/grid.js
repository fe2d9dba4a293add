// The grid of a list: every tile of one size, and only rows near the view in the document.

import { el } from "./dom.js";
import { makeTile, scrubbing, showState } from "./tile.js";

const LEAST_WIDTH = 148;
const GAP = 8;
const MARGIN = 16;
const CAPTION = 22;
const RATIO = 9 / 16;
const NEAR = 2; // rows beyond the view that are kept

/** A grid. `hooks`: focus(item, place), open(item, place), zoom(item), scrub(step), submit(item). */
export class Grid {
  constructor(label, hooks = {}) {
    this.hooks = hooks;
    this.items = [];
    this.place = 0;
    this.anchor = null; // where a range began
    this.rows = []; // {from, to}: places of the items of each row
    this.made = new Map(); // row -> element
    this.columns = 1;
    this.canvas = el("div", { class: "canvas", role: "presentation" });
    this.node = el("div", { class: "grid", role: "grid", "aria-label": label, "aria-multiselectable": true }, this.canvas);
    this.node.addEventListener("scroll", () => this.render(), { passive: true });
    this.node.addEventListener("click", (event) => this.click(event));
    this.node.addEventListener("focusin", (event) => this.focused(event));
    this.node.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    scrubbing(this.node);
    new ResizeObserver(() => (this.node.clientWidth === this.wide ? this.render() : this.layout())).observe(this.node);
  }

  /** Show other items. The shot that had the focus keeps it where it is still there and `keep` is true. */
  show(items, { keep = false, byGroup = false } = {}) {
    const shot = keep ? this.items[this.place]?.shot : null;
    const found = shot ? items.findIndex((item) => item?.shot === shot) : -1;
    const focused = this.node.contains(document.activeElement);
    this.items = items;
    this.byGroup = byGroup;
    this.anchor = null;
    this.place = Math.max(0, found);
    if (!keep) this.node.scrollTop = 0;
    this.layout();
    if (focused) this.focus();
  }

  /** More items came in: those in the document stay as they are. */
  more(items) {
    const grown = items.length !== this.items.length && this.rows.length > 0;
    this.items = items;
    this.anew(grown ? [this.rows.length - 1] : []);
  }
  layout() {
    this.wide = this.node.clientWidth;
    const width = this.wide - 2 * MARGIN;
    if (width <= 0) return;
    this.columns = Math.max(1, Math.floor((width + GAP) / (LEAST_WIDTH + GAP)));
    this.width = (width - GAP * (this.columns - 1)) / this.columns;
    this.height = Math.round(this.width * RATIO) + CAPTION + GAP;
    this.anew([...this.made.keys()]);
  }
  anew(rows) {
    const focused = this.node.contains(document.activeElement);
    for (const row of rows) this.drop(row);
    this.arrange();
    this.render();
    if (focused) this.tile()?.focus({ preventScroll: true });
  }
  arrange() {
    this.rows = [];
    let from = 0;
    for (let place = 1; place <= this.items.length; place++) {
      const ends = place === this.items.length || place - from === this.columns
        || (this.byGroup && this.items[place].video !== this.items[from].video);
      if (!ends) continue;
      this.rows.push({ from, to: place });
      from = place;
    }
    this.canvas.style.height = `${this.rows.length * this.height + GAP}px`;
    this.node.setAttribute("aria-rowcount", this.rows.length);
    this.node.setAttribute("aria-colcount", this.columns);
  }
  rowOf(place) {
    let low = 0;
    let high = this.rows.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.rows[middle].from <= place) low = middle;
      else high = middle - 1;
    }
    return low;
  }
  render() {
    if (!this.height) return;
    const first = Math.max(0, Math.floor(this.node.scrollTop / this.height) - NEAR);
    const last = Math.min(this.rows.length - 1, Math.ceil((this.node.scrollTop + this.node.clientHeight) / this.height) + NEAR);
    const held = this.rowOf(this.place);
    for (const row of [...this.made.keys()]) if ((row < first || row > last) && row !== held) this.drop(row);
    for (let row = first; row <= last; row++) this.make(row);
    if (this.rows.length) this.make(held);
    this.seen?.(this.items.slice(this.rows[first]?.from ?? 0, this.rows[last]?.to ?? 0));
  }
  make(row) {
    if (this.made.has(row)) return;
    const { from, to } = this.rows[row];
    const node = el("div", { class: "row", role: "row", "aria-rowindex": row + 1 });
    node.style.transform = `translateY(${row * this.height + GAP}px)`;
    node.style.gridTemplateColumns = `repeat(${this.columns}, ${this.width}px)`;
    for (let place = from; place < to; place++) {
      const tile = makeTile(this.items[place], place);
      tile.setAttribute("aria-colindex", place - from + 1);
      if (this.byGroup && (!from || this.items[from - 1]?.video !== this.items[from].video)) node.classList.add("first");
      node.append(tile);
      this.dress(tile, place);
    }
    this.made.set(row, node);
    const next = [...this.made.keys()].filter((other) => other > row).sort((a, b) => a - b)[0];
    this.canvas.insertBefore(node, next === undefined ? null : this.made.get(next));
  }
  drop(row) {
    this.made.get(row)?.remove();
    this.made.delete(row);
  }
  dress(tile, place) {
    const [from, to] = this.range();
    tile.tabIndex = place === this.place ? 0 : -1;
    tile.classList.toggle("picked", this.anchor !== null && place >= from && place <= to);
    tile.setAttribute("aria-selected", String(place >= from && place <= to));
  }

  /** First and last place of the range, or of the focus alone. */
  range() {
    const anchor = this.anchor ?? this.place;
    return [Math.min(anchor, this.place), Math.max(anchor, this.place)];
  }

  /** The items of the range. */
  picked() {
    const [from, to] = this.range();
    return this.items.slice(from, to + 1);
  }
  get item() { return this.items[this.place]; }

  tile(place = this.place) { return this.made.get(this.rowOf(place))?.children[place - this.rows[this.rowOf(place)].from]; }

  /** Go to a place, with the focus unless `take` is false; `range` keeps where the range began. */
  focus(place = this.place, { range = false, take = true } = {}) {
    if (!this.items.length) return;
    if (range) this.anchor ??= this.place;
    else this.anchor = null;
    this.place = Math.min(this.items.length - 1, Math.max(0, place));
    this.reveal();
    this.render();
    this.redress();
    if (take) this.tile()?.focus({ preventScroll: true });
    this.hooks.focus?.(this.item, this.place);
  }
  redress() { for (const tile of this.node.querySelectorAll(".tile")) this.dress(tile, Number(tile.dataset.place)); }
  reveal() {
    const top = this.rowOf(this.place) * this.height;
    const view = this.node.clientHeight;
    if (top < this.node.scrollTop) this.node.scrollTop = top;
    else if (top + this.height + GAP > this.node.scrollTop + view) this.node.scrollTop = top + this.height + GAP - view;
  }

  /** Move the focus. `way` is the name of a key. */
  move(way, options) {
    if (!this.items.length) return;
    const row = this.rowOf(this.place);
    const page = Math.max(1, Math.floor(this.node.clientHeight / this.height) - 1);
    const steps = { ArrowUp: -1, ArrowDown: 1, PageUp: -page, PageDown: page };
    const ends = { ArrowLeft: this.place - 1, ArrowRight: this.place + 1, Home: 0, End: this.items.length - 1 };
    if (way in ends) return this.focus(ends[way], options);
    const other = Math.min(this.rows.length - 1, Math.max(0, row + steps[way]));
    const { from, to } = this.rows[other];
    if (other === row) return this.focus(this.place, options);
    return this.focus(Math.min(to - 1, from + this.place - this.rows[row].from), options);
  }

  /** Show again what is known of some shots; of all without `shots`. */
  refresh(shots = null) {
    for (const tile of this.node.querySelectorAll(".tile")) {
      const item = this.items[tile.dataset.place];
      if (item && (!shots || shots.has(item.shot))) showState(tile, item);
    }
  }
  focused(event) {
    const tile = event.target.closest(".tile");
    if (!tile || Number(tile.dataset.place) === this.place) return;
    this.place = Number(tile.dataset.place);
    this.redress();
    this.hooks.focus?.(this.item, this.place);
  }
  click(event) {
    const tile = event.target.closest(".tile");
    if (!tile) return;
    const place = Number(tile.dataset.place);
    this.focus(place);
    if (event.altKey) this.hooks.submit?.(this.items[place]);
    else if (event.target.closest(".more")) this.hooks.open?.(this.items[place], place);
    else if (event.shiftKey) this.hooks.zoom?.(this.items[place]);
  }
  wheel(event) {
    if (!event.shiftKey || !this.hooks.scrub) return;
    event.preventDefault();
    this.hooks.scrub(Math.sign(event.deltaY || event.deltaX));
  }
}
