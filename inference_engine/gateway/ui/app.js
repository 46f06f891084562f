// The status page. It reads ui/data every two seconds while its tab is seen, and changes what has changed.
// Labels, ids and errors come from users: text is set by textContent alone, never as HTML.
"use strict";

const POLL_MILLISECONDS = 2000;
const PATIENCE_MILLISECONDS = 10000;
const STALE_SECONDS = 10; // of the reading that the gateway serves, by the gateway's clock
const POINTS_MAX = 900; // then every second one goes, so that a page may stay open for days
const KEY = "inference-engine-key";
const THEME = "inference-engine-theme";
const SVG = "http://www.w3.org/2000/svg";
const DASH = "–";

// --- elements ---------------------------------------------------------------------------------------------------------

const $ = (id) => document.getElementById(id);

function make(name, attributes = {}, ...children) {
  const node = name.startsWith("svg:") ? document.createElementNS(SVG, name.slice(4)) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== null) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function setAttribute(node, name, value) {
  if (value === null || value === undefined) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

// Children in the order of `wanted`; one that comes or goes leaves the others where they are.
function arrange(parent, wanted) {
  const stay = new Set(wanted);
  for (const node of [...parent.children]) if (!stay.has(node)) node.remove();
  let next = parent.firstElementChild;
  for (const node of wanted) {
    if (node === next) next = next.nextElementSibling;
    else parent.insertBefore(node, next);
  }
}

// --- numbers as people read them --------------------------------------------------------------------------------------

function number(value) {
  if (value === null || value === undefined) return DASH;
  const digits = Number.isInteger(value) || Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString("en-US", { maximumFractionDigits: digits });
}

function seconds(value) {
  if (value === null || value === undefined) return DASH;
  if (value === 0) return "0 s";
  if (value < 0.0995) return `${number(value * 1000)} ms`;
  if (value < 0.9995) return `${Math.round(value * 1000)} ms`;
  if (value < 60) return `${number(value)} s`;
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = units.findIndex(([, size]) => value >= size);
  const [[big, bigSize], [small, smallSize]] = units.slice(first, first + 2);
  return `${Math.floor(value / bigSize)} ${big} ${Math.floor((value % bigSize) / smallSize)} ${small}`;
}

// In one unit, for where there is little room.
function roughly(value) {
  if (value === null || value === undefined || value < 60) return seconds(value);
  const [unit, size] = [["d", 86400], ["h", 3600], ["min", 60]].find(([, size]) => value >= size);
  return `${number(Math.round((value / size) * 10) / 10)} ${unit}`;
}

function percent(value) {
  return value === null || value === undefined ? DASH : `${Math.round(value * 100)} %`;
}

function bytes(value) {
  if (value === null || value === undefined) return DASH;
  const power = value < 1000 ? 0 : Math.min(4, Math.floor(Math.log10(value) / 3));
  return `${number(value / 1000 ** power)} ${["B", "kB", "MB", "GB", "TB"][power]}`;
}

function clock(unixSeconds, fraction = 0) {
  const options = { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: fraction || undefined, hour12: false };
  return new Date(unixSeconds * 1000).toLocaleTimeString("en-GB", options);
}

// With the date, unless that is today's.
function moment(unixSeconds) {
  if (unixSeconds === null) return DASH;
  const [date, today] = [new Date(unixSeconds * 1000), new Date()].map((one) => one.toLocaleDateString("sv-SE"));
  return date === today ? clock(unixSeconds, 3) : `${date} ${clock(unixSeconds, 3)}`;
}

// --- tables whose rows are kept -----------------------------------------------------------------------------------------

class Table {
  // A column: title, cell(row) -> text or {text, sign, kind, meter, hint}, value(row) to sort by, number: to the right.
  constructor(table, key, columns, { caption = null, empty = "Nothing", sorted = null, onSort = null } = {}) {
    Object.assign(this, { key, columns, empty, sorted: sorted ?? { index: 0, down: false }, onSort, rows: new Map() });
    table.setAttribute("role", "table"); // styles for phones take the rows' display, and with it their meaning
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
      if (a === null || b === null) return (a === null) - (b === null); // what nobody knows comes last either way
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

// --- time series ----------------------------------------------------------------------------------------------------------

class Chart {
  // `series` are names, each with a line of its own; `format` writes a value.
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
    return `${this.title}: now ${told.join(", ")}; at most ${this.format(Math.max(...all))}`;
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

  // The series in pieces: between them nothing was known.
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

// --- what is shown ----------------------------------------------------------------------------------------------------------

const STATES = {
  loaded: { sign: "■", kind: "good" },
  loading: { sign: "◩", kind: null },
  idle: { sign: "·", kind: "zero" },
  unheld: { sign: "◌", kind: "warn" },
  unserved: { sign: "▲", kind: "warn" },
  failing: { sign: "✕", kind: "bad" },
  alive: { sign: "●", kind: "good" },
  draining: { sign: "◐", kind: "warn" },
  gone: { sign: "✕", kind: "bad" },
};
const GRAVITY = ["failing", "unserved", "unheld", "loading", "loaded", "idle"];
const state = (row) => ({ text: row.state, ...STATES[row.state] });
const counted = (value) => ({ text: number(value), kind: value ? null : "zero" });

const LABEL_COLUMNS = [
  { title: "Label", cell: (row) => ({ text: row.label, hint: row.label }), value: (row) => row.label },
  { title: "State", cell: state, value: (row) => GRAVITY.indexOf(row.state) },
  { title: "Waiting", number: true, hint: "jobs on its queue", cell: (row) => counted(row.visible), value: (row) => row.visible },
  { title: "In flight", number: true, hint: "jobs that a consumer has", cell: (row) => counted(row.in_flight), value: (row) => row.in_flight },
  { title: "Oldest", number: true, hint: "age of its oldest unfinished job", cell: (row) => seconds(row.oldest_age_seconds), value: (row) => row.oldest_age_seconds },
  { title: "Backlog", number: true, hint: "seconds of a consumer that its jobs cost", cell: (row) => ({ text: seconds(row.backlog_seconds), kind: row.backlog_seconds ? null : "zero" }), value: (row) => row.backlog_seconds },
  { title: "Hosts / lanes", number: true, hint: "consumers that hold it, and how many may work on it at once", cell: (row) => `${row.hosts} / ${row.lanes}`, value: (row) => row.hosts },
  { title: "Jobs/s", number: true, hint: "jobs that ended", cell: (row) => number(row.jobs_per_second), value: (row) => row.jobs_per_second },
  { title: "Busy", number: true, hint: "part of its hosts’ time that its jobs took of late", cell: (row) => ({ text: percent(row.busy), meter: row.busy }), value: (row) => row.busy },
  { title: "Service", number: true, hint: "how long a job takes", cell: (row) => seconds(row.service_seconds), value: (row) => row.service_seconds },
  { title: "Task", number: true, hint: "how much of a consumer’s time a job takes, where jobs are computed together", cell: (row) => seconds(row.task_seconds), value: (row) => row.task_seconds },
  { title: "Load", number: true, hint: "how long its model takes to load", cell: (row) => seconds(row.load_seconds), value: (row) => row.load_seconds },
];

const CONSUMER_COLUMNS = [
  { title: "Consumer", cell: (row) => ({ text: row.consumer_id, hint: row.consumer_id }), value: (row) => row.consumer_id },
  { title: "State", cell: state, value: (row) => row.state },
  { title: "Slots", number: true, hint: "used of all that it has", cell: (row) => ({ text: `${row.slots - row.free_slots} of ${row.slots}`, meter: row.slots ? 1 - row.free_slots / row.slots : 0 }), value: (row) => row.slots - row.free_slots },
  { title: "Free", number: true, cell: (row) => counted(row.free_slots), value: (row) => row.free_slots },
  { title: "In flight", number: true, cell: (row) => counted(row.in_flight), value: (row) => row.in_flight },
  { title: "Jobs", number: true, hint: "that ended since it started", cell: (row) => number(row.jobs), value: (row) => row.jobs },
  { title: "Jobs/s", number: true, cell: (row) => number(row.jobs_per_second), value: (row) => row.jobs_per_second },
  { title: "Misses", number: true, hint: "loads that a job had to wait for", cell: (row) => number(row.misses), value: (row) => row.misses },
  { title: "Lease", number: true, hint: "time left until it counts as gone, unless it renews its row", cell: (row) => (row.lease_seconds_left > 0 ? seconds(Math.round(row.lease_seconds_left)) : "ended"), value: (row) => row.lease_seconds_left },
];

const BAND_COLUMNS = [
  { title: "Priority", cell: (row) => String(row.priority) },
  { title: "Requests", number: true, cell: (row) => number(row.requests) },
  { title: "Size", number: true, cell: (row) => bytes(row.bytes) },
];
const OUTCOME_COLUMNS = [
  { title: "Outcome", cell: (row) => row.name },
  { title: "Requests", number: true, cell: (row) => number(row.count) },
];

const page = { data: null, receivedAt: 0, timer: null, asking: false, job: null };
const tables = {}, charts = {};

function build() {
  tables.labels = new Table($("labels"), (row) => row.label, LABEL_COLUMNS, { empty: "No label fits.", onSort: showLabels });
  tables.consumers = new Table($("consumers"), (row) => row.consumer_id, CONSUMER_COLUMNS, { empty: "No consumer: jobs wait until one starts.", onSort: () => tables.consumers.render(page.data.overview.consumers) });
  tables.bands = new Table($("bands"), (row) => String(row.priority), BAND_COLUMNS, { caption: "Waiting by priority", empty: "Nobody waits." });
  tables.outcomes = new Table($("outcomes"), (row) => row.name, OUTCOME_COLUMNS, { caption: "What became of requests", empty: "No request yet." });
  charts.jobs = new Chart($("chart-jobs"), "Jobs per second", ["jobs"], number, "known with the consumers’ next rows");
  charts.backlog = new Chart($("chart-backlog"), "Unfinished jobs", ["waiting", "in flight"], number, "not known yet");
  charts.latency = new Chart($("chart-latency"), "Latency of calls", ["p50", "p95", "p99"], (value) => seconds(value / 1000), "no call through this gateway yet");
  LABEL_COLUMNS.forEach((column, index) => $("sort").append(make("option", { value: index }, `By ${column.title.toLowerCase()}`)));
}

function show(data) {
  const { overview, gateway } = data;
  setText($("deployment"), data.deployment);
  $("content").hidden = false;
  showAttention(overview.labels, overview.unread);
  showTotals(overview.totals);
  charts.jobs.add(overview.at, [overview.totals.jobs_per_second]);
  charts.backlog.add(overview.at, [overview.totals.visible, overview.totals.in_flight]);
  showLabels();
  setText($("consumers-count"), number(overview.consumers.length));
  tables.consumers.render(overview.consumers);
  showGateway(data, gateway ?? {});
}

function showAttention(labels, unread) {
  const items = unread.map((label) => ["▲", label, "is not known about: its queue does not answer"]).concat(labels.filter((row) => row.needs_attention).map((row) => {
    const why = row.failure
      ? `could not be loaded (${number(row.failure.tries)} ${row.failure.tries === 1 ? "try" : "tries"}; again in ${seconds(Math.max(0, Math.round(row.failure.seconds_left)))}): ${row.failure.reason}`
      : `has ${number(row.visible)} ${row.visible === 1 ? "job that waits" : "jobs that wait"} and no consumer`;
    return [row.failure ? "✕" : "▲", row.label, why];
  }));
  const list = $("attention").querySelector("ul");
  const shown = items.slice(0, 6).map(([sign, label, why]) =>
    make("li", {}, make("span", { class: "sign", "aria-hidden": "true" }, sign), make("b", {}, label), ` ${why}`));
  if (items.length > 6) shown.push(make("li", {}, `and ${number(items.length - 6)} more: choose “Needing attention” below`));
  list.replaceChildren(...shown);
  $("attention").hidden = !items.length;
}

function showTotals(totals) {
  const used = totals.slots - totals.free_slots;
  const told = [
    ["Jobs per second", number(totals.jobs_per_second), `${number(totals.jobs)} jobs so far`],
    ["Waiting", number(totals.visible), `${number(totals.labels_with_work)} ${totals.labels_with_work === 1 ? "label has" : "labels have"} jobs`],
    ["In flight", number(totals.in_flight), "at consumers"],
    ["Oldest job", roughly(totals.oldest_age_seconds), "unfinished"],
    ["Backlog", roughly(totals.backlog_seconds), "of one consumer"],
    ["Consumers", number(totals.consumers), totals.draining ? `and ${number(totals.draining)} draining` : "alive", totals.consumers || !totals.labels_with_work ? null : "bad"],
    ["Slots used", `${number(used)} / ${number(totals.slots)}`, `${number(totals.free_slots)} free`],
    ["Misses per job", totals.misses_per_job === null ? DASH : Number(totals.misses_per_job.toPrecision(2)).toString(), `${number(totals.misses)} ${totals.misses === 1 ? "miss" : "misses"} so far`],
  ];
  const list = $("totals");
  if (!list.children.length) list.append(...told.map(([name]) => make("div", {}, make("dt", {}, name), make("dd", { class: "value" }), make("dd", { class: "note" }))));
  told.forEach(([, value, note, kind], index) => {
    const [, valueNode, noteNode] = list.children[index].children;
    setText(valueNode, value);
    setText(noteNode, note);
    setAttribute(valueNode, "data-kind", kind);
  });
}

function showLabels() {
  if (!page.data) return;
  const { labels, consumers } = page.data.overview;
  const wanted = $("filter").value.trim().toLowerCase();
  const kinds = {
    all: () => true,
    work: (row) => row.visible + row.in_flight > 0,
    attention: (row) => row.needs_attention,
  };
  const shown = labels.filter((row) => row.label.toLowerCase().includes(wanted)).filter(kinds[$("show").value]);
  setText($("labels-count"), shown.length === labels.length ? number(labels.length) : `${number(shown.length)} of ${number(labels.length)}`);
  tables.labels.empty = labels.length ? "No label fits." : "No label is loaded or has jobs.";
  tables.labels.render(shown);
  $("sort").value = tables.labels.sorted.index;
  showMatrix(tables.labels.order(shown), consumers);
}

const HOLDING = { held: ["■", "loaded"], coming: ["◩", "loading"], none: ["·", "nothing"] };

function showMatrix(labels, consumers) {
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

function showGateway(data, gateway) {
  const latency = gateway.latency_ms ?? {};
  if (page.process !== gateway.process) {
    // A load balancer asks one gateway now, another then: a curve is of one of them.
    page.process = gateway.process;
    charts.latency.points = [];
  }
  const counted = latency.count > 0;
  charts.latency.add(data.overview.at, ["p50", "p95", "p99"].map((name) => (counted ? latency[name] : null)));
  $("gateway-state").title = gateway.process ?? "";
  setText($("gateway-state"), data.paused ? "paused: new jobs are refused" : data.ready ? "takes jobs" : "not ready");
  const milliseconds = (value) => (counted ? seconds(value / 1000) : DASH);
  facts($("gateway"), [
    ["Waiting callers", number(gateway.waiting)], ["On their way", number(gateway.in_flight)], ["Calls measured", number(latency.count)],
    ["Latency p50", milliseconds(latency.p50)], ["Latency p95", milliseconds(latency.p95)], ["Latency p99", milliseconds(latency.p99)],
  ]);
  tables.bands.render([...(gateway.bands ?? [])].sort((a, b) => b.priority - a.priority));
  tables.outcomes.render(Object.entries(gateway.outcomes ?? {}).map(([name, count]) => ({ name, count })));
}

function facts(list, told) {
  const names = told.map(([name]) => name).join();
  if (list.names !== names) {
    list.names = names;
    list.replaceChildren(...told.map(([name, , wide]) => make("div", { class: wide ? "wide" : null }, make("dt", {}, name), make("dd"))));
  }
  told.forEach(([, value], index) => setText(list.children[index].lastElementChild, value));
}

// --- a job ----------------------------------------------------------------------------------------------------------------------

const FINISHED = ["SUCCESS", "ERROR", "CANCELLED", "EXPIRED"];
const SIGNS = { SUBMITTED: "○", IN_PROGRESS: "◐", SUCCESS: "●", ERROR: "✕", CANCELLED: "–", EXPIRED: "✕" };

async function readJob({ cancel = false } = {}) {
  const id = page.job;
  if (!id) return;
  try {
    const where = `ui/jobs/${encodeURIComponent(id)}`;
    const job = cancel ? await ask(`${where}/cancel`, { method: "POST" }) : await ask(where);
    if (id === page.job) showJob(job);
  } catch (error) {
    if (id === page.job) tellJob(error.message);
  }
}

function showJob(job) {
  page.shown = job.message_id;
  $("job-problem").hidden = true;
  $("job").hidden = false;
  const between = (from, to) => (from === null || to === null ? DASH : seconds(Math.max(0, to - from)));
  facts($("job").querySelector("dl"), [
    ["Status", `${SIGNS[job.status] ?? "?"} ${job.status}`], ["Label", job.label], ["Waited", between(job.submitted_at, job.started_at ?? job.finished_at)],
    ["Computed", between(job.started_at, job.finished_at)], ["Submitted", moment(job.submitted_at)], ["Started", moment(job.started_at)],
    ["Finished", moment(job.finished_at)], ["Request id", job.request_id, true], ["Message id", job.message_id, true],
  ]);
  setText($("job-error"), job.error ? `${job.error.type}: ${job.error.message}` : "");
  $("job-error").hidden = !job.error;
  setText($("job-result"), job.result === null ? "" : job.result + (job.result_cut ? "\n… (the rest is left out)" : ""));
  $("job-result").hidden = job.result === null;
  $("job-cancel").hidden = FINISHED.includes(job.status);
  if (FINISHED.includes(job.status)) page.job = null; // nothing changes any more
}

function tellJob(text) {
  page.job = null;
  $("job").hidden = true;
  $("job-problem").hidden = false;
  setText($("job-problem"), text);
}

// --- talking to the gateway -------------------------------------------------------------------------------------------------------

class Refused extends Error {
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }
}

async function ask(path, options = {}) {
  const key = sessionStorage.getItem(KEY);
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  const signal = AbortSignal.timeout(PATIENCE_MILLISECONDS);
  const response = await fetch(path, { ...options, headers, signal, cache: "no-store", credentials: "same-origin" });
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => ({}));
  const reason = problem.detail ?? `the gateway answered ${response.status}`;
  throw [401, 403].includes(response.status) ? new Refused(response.status, reason) : Object.assign(new Error(reason), { told: true });
}

async function poll() {
  if (page.asking) return;
  clearTimeout(page.timer);
  page.asking = true;
  try {
    const data = await ask("ui/data");
    Object.assign(page, { data, receivedAt: Date.now() });
    $("key-form").hidden = true;
    $("banner").hidden = true;
    show(data);
    await readJob();
    const age = data.now - data.overview.at;
    if (age > STALE_SECONDS) connection("warn", "▲", `Stale: read ${seconds(Math.round(age))} ago`);
    else connection("good", "●", "Live");
  } catch (error) {
    if (error instanceof Refused) askForKey(error);
    else lost(error);
  } finally {
    page.asking = false;
  }
  showAge();
  if (!document.hidden && $("key-form").hidden) page.timer = setTimeout(poll, POLL_MILLISECONDS);
}

function lost(error) {
  const what = error.told ? `The gateway cannot read the deployment: ${error.message}` : "The gateway does not answer.";
  const since = page.receivedAt ? ` What is shown is of ${clock(page.receivedAt / 1000)}.` : "";
  connection("bad", "✕", error.told ? "No data" : "Gateway gone");
  setText($("banner"), what + since);
  $("banner").hidden = false;
}

function askForKey(refused) {
  // That there is no key needs no words; that something else is refused does, also without one.
  const told = refused.status === 403 || sessionStorage.getItem(KEY) !== null;
  sessionStorage.removeItem(KEY);
  connection("warn", "▲", "API key needed");
  setText($("key-reason"), told ? refused.message : "");
  $("banner").hidden = true;
  $("content").hidden = true;
  if ($("key-form").hidden) {
    $("key-form").hidden = false;
    $("key").focus();
  }
}

function connection(kind, sign, text) {
  const node = $("connection");
  setAttribute(node, "data-kind", kind);
  setText(node.querySelector(".sign"), sign);
  setText(node.querySelector(".text"), text);
}

function showAge() {
  setText($("age"), page.receivedAt ? `at ${clock(page.receivedAt / 1000)}` : "");
}

// --- light and dark -----------------------------------------------------------------------------------------------------------------

const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ?? (prefersDark.matches ? "dark" : "light")) === "dark";

function theme(name) {
  if (name) document.documentElement.dataset.theme = name;
  if ($("theme")) setText($("theme"), isDark() ? "Light" : "Dark");
}

theme(localStorage.getItem(THEME)); // before the page is painted

document.addEventListener("DOMContentLoaded", () => {
  build();
  theme();
  prefersDark.addEventListener("change", () => theme());
  $("theme").addEventListener("click", () => {
    theme(isDark() ? "light" : "dark");
    localStorage.setItem(THEME, document.documentElement.dataset.theme);
  });
  $("filter").addEventListener("input", showLabels);
  $("show").addEventListener("change", showLabels);
  $("sort").addEventListener("change", (event) => tables.labels.sort(Number(event.target.value)));
  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem(KEY, $("key").value.trim());
    $("key").value = "";
    poll();
  });
  $("job-form").addEventListener("submit", (event) => {
    event.preventDefault();
    page.job = $("job-id").value.trim();
    readJob();
  });
  $("job-cancel").addEventListener("click", () => {
    page.job = page.shown;
    readJob({ cancel: true });
  });
  document.addEventListener("visibilitychange", () => {
    clearTimeout(page.timer);
    if (!document.hidden && $("key-form").hidden) poll();
  });
  poll();
});
