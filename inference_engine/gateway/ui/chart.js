// Curves of the values that the page has seen since it was opened.

import { make, setAttribute, setText } from "./elements.js";
import { DASH, clock } from "./figures.js";

const POINTS_MAX = 900; // beyond this every second point is dropped, so that a page may stay open for days

export class Chart {
  // `series` are names, each with a line of its own; `format` formats a value.
  constructor(figure, title, series, format, nothing) {
    Object.assign(this, { title, series, format, nothing, points: [] });
    this.now = make("b");
    const keys = series.length < 2 ? [] : series.map((name, index) =>
      make("span", { class: "key" },
        make("svg:svg", { viewBox: "0 0 20 8", "aria-hidden": "true" },
          make("svg:path", { class: `series series-${index + 1}`, d: "M0 4H20" })), name));
    figure.append(make("figcaption", {}, make("h2", {}, title), make("span", {}, this.now, ...keys)));
    this.plot = figure.appendChild(make("svg:svg", { class: "plot", role: "img" }));
    new ResizeObserver(() => this.draw()).observe(figure);
  }

  add(at, values) {
    this.points.push({ at, values });
    if (this.points.length > POINTS_MAX) this.points = this.points.filter((_, index) => index % 2 === 0);
    this.draw();
  }

  draw() {
    const width = this.plot.clientWidth, height = this.plot.clientHeight;
    const known = this.points.filter(({ values }) => values.some((value) => value !== null));
    const last = this.points.at(-1)?.values ?? [];
    setText(this.now, this.series.length > 1 || last[0] === null || last[0] === undefined ? "" : this.format(last[0]));
    const all = known.flatMap(({ values }) => values.filter((value) => value !== null));
    setAttribute(this.plot, "aria-label", this.#inWords(last, all));
    if (!width) return;
    this.plot.setAttribute("viewBox", `0 0 ${width} ${height}`);
    if (!all.length) {
      this.plot.replaceChildren(make("svg:text", { x: width / 2, y: height / 2, "text-anchor": "middle" }, this.nothing));
      return;
    }
    this.plot.replaceChildren(...this.#frame(width, height, nice(Math.max(...all))), ...this.#lines(width, height, nice(Math.max(...all))));
  }

  #inWords(last, all) {
    if (!all.length) return `${this.title}: ${this.nothing}`;
    const told = this.series.map((name, index) => `${this.series.length > 1 ? `${name} ` : ""}${last[index] === null ? DASH : this.format(last[index])}`);
    return `${this.title}: now ${told.join(", ")}; maximum ${this.format(Math.max(...all))}`;
  }

  #frame(width, height, top) {
    const bottom = height - 16;
    const marks = [0, top / 2, top].flatMap((value) => {
      const y = bottom - (value / top) * (bottom - 14);
      return [make("svg:line", { class: "gridline", x1: 0, x2: width, y1: y, y2: y }),
        make("svg:text", { x: 0, y: y - 3 }, value ? this.format(value) : "")];
    });
    const [first, last] = [this.points[0].at, this.points.at(-1).at];
    return [...marks, make("svg:text", { x: 0, y: height - 3 }, clock(first)),
      make("svg:text", { x: width, y: height - 3, "text-anchor": "end" }, clock(last))];
  }

  #lines(width, height, top) {
    const bottom = height - 16;
    const begin = this.points[0].at, span = Math.max(1, this.points.at(-1).at - begin);
    const x = (at) => (((at - begin) / span) * width).toFixed(1);
    const y = (value) => (bottom - (value / top) * (bottom - 14)).toFixed(1);
    return this.series.flatMap((_, index) => {
      const runs = this.#runs(index);
      const line = runs.map((run) => `M${run.map(({ at, values }) => `${x(at)} ${y(values[index])}`).join("L")}${run.length > 1 ? "" : "h1"}`).join("");
      const drawn = [make("svg:path", { class: `series series-${index + 1}`, d: line })];
      if (this.series.length === 1) {
        const area = runs.map((run) => `M${x(run[0].at)} ${bottom}L${run.map(({ at, values }) => `${x(at)} ${y(values[0])}`).join("L")}L${x(run.at(-1).at)} ${bottom}Z`);
        drawn.unshift(make("svg:path", { class: "area", d: area.join("") }));
      }
      return drawn;
    });
  }

  // The series in pieces, split where no value is known.
  #runs(index) {
    const runs = [[]];
    for (const point of this.points) {
      if (point.values[index] !== null) runs.at(-1).push(point);
      else if (runs.at(-1).length) runs.push([]);
    }
    return runs.filter((run) => run.length);
  }
}

function nice(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 5, 10].map((step) => step * power).find((step) => step >= value);
}
