// The document of the API as a page: calls, and the shapes of what they take and give.

import { get } from "./api.js";
import { button, el, muted, pairs, table } from "./dom.js";

/** The page of the API. */
export async function apiPage(_, head) {
  const found = await get("/document");
  head.append(el("a", { href: `${found.base}/document`, text: "as JSON" }));
  return el("div", { class: "document" },
    muted(`Calls begin with ${found.base}. The header ${found.session_header} names a session, which has one question at a time.`),
    found.calls.map((one) => call(one, found)), el("h2", { text: "Errors" }), pairs(Object.entries(found.errors), { class: "errors" }),
    el("p", {}, "The body of each: ", named(found.error_shape, found)),
    el("h2", { text: "Shapes" }), Object.entries(found.shapes).map(([name, one]) => shape(name, one, found)));
}

function call(one, found) {
  const side = (words, name) => (name ? el("span", {}, words, named(name, found)) : null);
  return el("section", { class: "call" }, el("h3", {}, el("b", { text: one.method }), el("code", { text: one.path }),
    one.writes ? el("small", { text: "not of a read-only server" }) : null), el("p", { text: one.what }),
  pairs(Object.entries(one.parameters)), el("p", { class: "sides-of" }, side("takes ", one.takes),
    side(one.lines ? "gives lines of " : "gives ", one.gives)));
}

/** The name of a shape, which leads to it; of a media type, the name alone. */
function named(name, found) {
  if (!(name in found.shapes)) return el("code", { text: name });
  return button(name, () => document.getElementById(`shape-${name}`).scrollIntoView(), { class: "name" });
}

function shape(name, { description, properties = {}, required = [] }, found) {
  const rows = Object.entries(properties).map(([key, one]) => [el("th", { scope: "row" }, el("code", { text: key })),
    el("td", {}, type(one, found)), el("td", { text: "default" in one ? JSON.stringify(one.default) : required.includes(key) ? "needed" : "" }),
    one.description ?? ""]);
  return el("section", { id: `shape-${name}` }, el("h3", { text: name }), description ? muted(description) : null,
    rows.length ? el("div", { class: "wide" }, table(["field", "type", "default", "what it is"], rows, { class: "fields" })) : null);
}

/** A type of JSON schema in words, with the names of shapes. */
function type(one, found) {
  if (one.$ref) return [named(one.$ref.split("/").at(-1), found)];
  if (one.const !== undefined) return [JSON.stringify(one.const)];
  if (one.enum) return [one.enum.map((value) => JSON.stringify(value)).join(" | ")];
  if (one.anyOf) return one.anyOf.flatMap((kind, place) => [place ? " | " : "", ...type(kind, found)]);
  if (one.type === "array") return ["list of ", ...type(one.items ?? {}, found)];
  if (one.type === "object" && one.additionalProperties) return ["name → ", ...type(one.additionalProperties, found)];
  return [one.type ?? "anything"];
}
