// Tables whose rows are kept: what is selected, or read aloud, stays while numbers change.

import { arrange, make, setAttribute } from "./elements.js";

export class Table {
  // A column: title, cell(row) -> text or {text, sign, kind, meter, hint}, value(row) to sort by, number: to the right.
  constructor(table, key, columns, { caption = null, empty = "Nothing", sorted = null, onSort = null } = {}) {
    Object.assign(this, { key, columns, empty, sorted: sorted ?? { index: 0, down: false }, onSort, rows: new Map() });
    table.setAttribute("role", "table"); // styles for phones change the rows' display, which removes their meaning
    this.head = make("tr", { role: "row" });
    this.body = make("tbody", { role: "rowgroup" });
    if (caption) table.append(make("caption", {}, caption));
    table.append(make("thead", { role: "rowgroup" }, this.head), this.body);
    columns.forEach((column, index) => this.head.append(this.#header(column, index)));
  }

  #header(column, index) {
    const cell = make("th", { scope: "col", role: "columnheader", class: column.number ? "number" : null, title: column.hint ?? null });
    if (!this.onSort) cell.append(column.title);
    else {
      const button = make("button", { type: "button" }, column.title);
      button.addEventListener("click", () => this.sort(index));
      cell.append(button);
    }
    return cell;
  }

  sort(index) {
    const again = this.sorted.index === index;
    this.sorted = { index, down: again ? !this.sorted.down : Boolean(this.columns[index].number) };
    this.onSort();
  }

  order(rows) {
    const { index, down } = this.sorted;
    const value = this.columns[index].value;
    const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);
    const decorated = rows.map((row) => [value(row), row]);
    decorated.sort(([a, first], [b, second]) => {
      if (a === null || b === null) return (a === null) - (b === null); // unknown values come last in either order
      return (down ? -1 : 1) * compare(a, b) || this.key(first).localeCompare(this.key(second));
    });
    return decorated.map(([, row]) => row);
  }

  render(rows) {
    if (this.onSort) {
      rows = this.order(rows);
      [...this.head.children].forEach((cell, index) => {
        const direction = this.sorted.down ? "descending" : "ascending";
        setAttribute(cell, "aria-sort", index === this.sorted.index ? direction : null);
      });
    }
    const kept = new Map();
    for (const row of rows) {
      const key = this.key(row);
      kept.set(key, this.#fill(this.rows.get(key) ?? this.#row(), row));
    }
    this.rows = kept;
    const none = () => make("tr", { class: "empty", role: "row" }, make("td", { colspan: this.columns.length, role: "cell" }, this.empty));
    arrange(this.body, kept.size ? [...kept.values()] : [none()]);
  }

  #row() {
    const cells = this.columns.map((column, index) =>
      make(index ? "td" : "th", {
        scope: index ? null : "row", role: index ? "cell" : "rowheader", class: column.number ? "number" : null, "data-title": column.title,
      }));
    return make("tr", { role: "row" }, ...cells);
  }

  #fill(node, row) {
    this.columns.forEach((column, index) => {
      const told = column.cell(row);
      fillCell(node.children[index], typeof told === "object" ? told : { text: told });
    });
    return node;
  }
}

function fillCell(cell, { text, sign = "", kind = null, meter = null, hint = null }) {
  const told = `${sign}\n${text}\n${meter ?? ""}`;
  setAttribute(cell, "data-kind", kind);
  setAttribute(cell, "title", hint);
  if (cell.told === told) return;
  cell.told = told;
  const value = make("span", {}, text);
  if (sign) value.prepend(make("span", { class: "sign", "aria-hidden": "true" }, sign));
  cell.replaceChildren(value);
  if (meter !== null) cell.append(meterOf(meter));
}

function meterOf(part) {
  const width = Math.max(0, Math.min(1, part)) * 100;
  return make("svg:svg", { class: "meter", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    make("svg:rect", { class: "rail", width: 100, height: 10, rx: 3 }), make("svg:rect", { class: "fill", width, height: 10, rx: 3 }));
}
