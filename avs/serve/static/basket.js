// The basket of a topic, and what leaves the page: lists as TREC or run files, marks as judgments of one's own.

import { send } from "./api.js";
import { button, el, field, fill, muted, openDialog, select, some } from "./dom.js";
import { loadMarks, toggleBasket } from "./judge.js";
import { problem } from "./list.js";
import { leavePage, state, tell, topicOf } from "./state.js";
import { small } from "./tile.js";

const ATTRIBUTE = /([\w-]+)=(?:"([^"]*)"|([^\s"]+))(?!\S)|\S+/g; // NAME=VALUE or NAME="VALUE"; anything else is wrong
const FORMATS = [["trec", "TREC list"], ["xml", "Run file (XML), checked"], ["qrels", "My marks as judgments"]];

/** Open a dialog that writes the list on the page, or the marks, as a file. */
export function showExport() {
  const said = el("div", { class: "said", role: "status" });
  const name = field("text", "Name of the file", { value: "served", pattern: "[A-Za-z0-9][A-Za-z0-9_\\-]{0,63}" });
  const format = select("Format", FORMATS, "trec", () => fill(said));
  const attributes = field("text", "Attributes of the run", { placeholder: 'pid=TEAM desc="our best" (run file only)' });
  const run = async () => {
    const pairs = format.value === "xml" ? [...attributes.value.matchAll(ATTRIBUTE)] : [];
    const got = pairs.flatMap(([word, key]) => (key ? [] : word)).join(" ");
    if (got) return fill(said, problem({ what: "Attributes are NAME=VALUE", got, next_step: 'Put quotes around blanks: desc="our best system"' }));
    const asked = format.value === "qrels" ? { topics: [topicOf()] } : { lists: state.answer ? [state.answer.list] : [] };
    const own = pairs.length ? { attributes: Object.fromEntries(pairs.map(([, key, quoted, plain]) => [key, quoted ?? plain])) } : {};
    try {
      const made = await send("/export", { format: format.value, name: name.value, ...asked, ...own });
      const type = made.class ? `, class ${made.class}` : "";
      fill(said, `${made.file}: ${some(made.shots, "shot")}${type}`, made.warnings.map((text) => el("p", { class: "warning", text })));
      keepFile(made);
    } catch (error) { fill(said, problem(error)); }
  };
  openDialog("Export", "export", el("label", {}, "Format", format), el("label", {}, "Name", name), el("label", {}, "Attributes", attributes),
    muted("A list that marks or re-typed words have helped is never exported as automatic."),
    button("Write", run, { class: "primary" }), said);
}

function keepFile({ file, content }) {
  const address = URL.createObjectURL(new Blob([content]));
  el("a", { href: address, download: file }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

/** The page of the basket. */
export async function basketPage(_, head) {
  await loadMarks().catch(() => null);
  const out = (shot) => toggleBasket([shot]).then(() => tell("address"));
  const one = (shot) => small(shot, shot, button("Take out", () => out(shot), { "aria-label": `Take ${shot} out` }));
  if (state.query.topic) head.firstChild.textContent = `Basket of topic ${state.query.topic}`;
  head.append(button("Back to the list", leavePage, { class: "quiet" }));
  return state.basket.size ? el("div", { class: "smalls" }, [...state.basket].map(one)) : muted("Nothing is in it. Press x on a shot.");
}
