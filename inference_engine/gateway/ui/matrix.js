// Which consumer holds which label.

import { $, arrange, make } from "./elements.js";

const HOLDING = { held: ["■", "loaded"], coming: ["◩", "loading"], none: ["·", "nothing"] };

export function showMatrix(labels, consumers) {
  const table = $("matrix");
  const ids = consumers.map((row) => row.consumer_id);
  if (table.ids !== ids.join("\n") || !table.tHead) buildMatrix(table, ids);
  const holders = consumers.map((row) => ({ loaded: row.loaded, loading: new Set(row.loading) }));
  const kept = new Map();
  for (const { label } of labels) {
    const kinds = holders.map(({ loaded, loading }) => (Object.hasOwn(loaded, label) ? "held" : loading.has(label) ? "coming" : "none"));
    const told = kinds.join();
    let row = table.kept.get(label);
    if (row?.told !== told) {
      row = make("tr", {}, make("th", { scope: "row", title: label }, label), ...kinds.map(holding));
      row.told = told;
    }
    kept.set(label, row);
  }
  table.kept = kept;
  arrange(table.tBodies[0], kept.size ? [...kept.values()] : [make("tr", { class: "empty" }, make("td", { colspan: ids.length + 1 }, "No label to show."))]);
}

function buildMatrix(table, ids) {
  const heads = ids.map((id, index) => make("th", { scope: "col", title: id, class: index === ids.length - 1 ? "last" : null }, make("span", {}, id)));
  table.replaceChildren(make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Label"), ...heads)), make("tbody"));
  table.ids = ids.join("\n");
  table.kept = new Map();
}

function holding(kind, index, all) {
  const [sign, text] = HOLDING[kind];
  return make("td", { class: index === all.length - 1 ? `${kind} last` : kind, role: "cell", "aria-label": text }, sign);
}
