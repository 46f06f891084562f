// How the page shows a reading.

import { Chart } from "./chart.js";
import { BAND_COLUMNS, CONSUMER_COLUMNS, LABEL_COLUMNS, OUTCOME_COLUMNS } from "./columns.js";
import { $, facts, make, setAttribute, setText } from "./elements.js";
import { DASH, number, roughly, seconds } from "./figures.js";
import { showMatrix } from "./matrix.js";
import { Table } from "./table.js";

const tables = {}, charts = {};
let overview = null; // the last reading
let process = null; // the gateway that it came from

export function build() {
  tables.labels = new Table($("labels"), (row) => row.label, LABEL_COLUMNS, { empty: "No label matches.", onSort: showLabels });
  tables.consumers = new Table($("consumers"), (row) => row.consumer_id, CONSUMER_COLUMNS, { empty: "No consumer: jobs wait until one starts.", onSort: () => tables.consumers.render(overview.consumers) });
  tables.bands = new Table($("bands"), (row) => String(row.priority), BAND_COLUMNS, { caption: "Waiting by priority", empty: "No callers waiting." });
  tables.outcomes = new Table($("outcomes"), (row) => row.name, OUTCOME_COLUMNS, { caption: "Outcomes of requests", empty: "No requests yet." });
  charts.jobs = new Chart($("chart-jobs"), "Jobs per second", ["jobs"], number, "known once the consumers write their next rows");
  charts.backlog = new Chart($("chart-backlog"), "Unfinished jobs", ["waiting", "in flight"], number, "not known yet");
  charts.latency = new Chart($("chart-latency"), "Latency of calls", ["p50", "p95", "p99"], (value) => seconds(value / 1000), "no call through this gateway yet");
  LABEL_COLUMNS.forEach((column, index) => $("sort").append(make("option", { value: index }, `By ${column.title.toLowerCase()}`)));
  $("filter").addEventListener("input", showLabels);
  $("show").addEventListener("change", showLabels);
  $("sort").addEventListener("change", (event) => tables.labels.sort(Number(event.target.value)));
}

export function show(data) {
  overview = data.overview;
  setText($("deployment"), data.deployment);
  $("content").hidden = false;
  showAttention(overview.labels, overview.unread);
  showTotals(overview.totals);
  charts.jobs.add(overview.at, [overview.totals.jobs_per_second]);
  charts.backlog.add(overview.at, [overview.totals.visible, overview.totals.in_flight]);
  showLabels();
  setText($("consumers-count"), number(overview.consumers.length));
  tables.consumers.render(overview.consumers);
  showGateway(data, data.gateway ?? {});
}

function showAttention(labels, unread) {
  const items = unread.map((label) => ["▲", label, "cannot be shown: its queue does not respond"]).concat(labels.filter((row) => row.needs_attention).map((row) => {
    const why = row.failure
      ? `could not be loaded (${number(row.failure.tries)} ${row.failure.tries === 1 ? "try" : "tries"}; next try in ${seconds(Math.max(0, Math.round(row.failure.seconds_left)))}): ${row.failure.reason}`
      : `has ${number(row.visible)} waiting ${row.visible === 1 ? "job" : "jobs"} and no consumer`;
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
  if (!overview) return;
  const { labels, consumers } = overview;
  const wanted = $("filter").value.trim().toLowerCase();
  const kinds = {
    all: () => true,
    work: (row) => row.visible + row.in_flight > 0,
    attention: (row) => row.needs_attention,
  };
  const shown = labels.filter((row) => row.label.toLowerCase().includes(wanted)).filter(kinds[$("show").value]);
  setText($("labels-count"), shown.length === labels.length ? number(labels.length) : `${number(shown.length)} of ${number(labels.length)}`);
  tables.labels.empty = labels.length ? "No label matches." : "No label is loaded or has jobs.";
  tables.labels.render(shown);
  $("sort").value = tables.labels.sorted.index;
  showMatrix(tables.labels.order(shown), consumers);
}

function showGateway(data, gateway) {
  const latency = gateway.latency_ms ?? {};
  if (process !== gateway.process) {
    // A load balancer may pick another gateway each time: a curve shows only one of them.
    process = gateway.process;
    charts.latency.points = [];
  }
  const counted = latency.count > 0;
  charts.latency.add(data.overview.at, ["p50", "p95", "p99"].map((name) => (counted ? latency[name] : null)));
  $("gateway-state").title = gateway.process ?? "";
  setText($("gateway-state"), data.paused ? "paused: new jobs are refused" : data.ready ? "accepting jobs" : "not ready");
  const milliseconds = (value) => (counted ? seconds(value / 1000) : DASH);
  facts($("gateway"), [
    ["Waiting callers", number(gateway.waiting)], ["In flight", number(gateway.in_flight)], ["Calls measured", number(latency.count)],
    ["Latency p50", milliseconds(latency.p50)], ["Latency p95", milliseconds(latency.p95)], ["Latency p99", milliseconds(latency.p99)],
  ]);
  tables.bands.render([...(gateway.bands ?? [])].sort((a, b) => b.priority - a.priority));
  tables.outcomes.render(Object.entries(gateway.outcomes ?? {}).map(([name, count]) => ({ name, count })));
}
