// The columns of the tables of labels, consumers, bands and outcomes.

import { bytes, number, percent, seconds } from "./figures.js";

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

export const LABEL_COLUMNS = [
  { title: "Label", cell: (row) => ({ text: row.label, hint: row.label }), value: (row) => row.label },
  { title: "State", cell: state, value: (row) => GRAVITY.indexOf(row.state) },
  { title: "Waiting", number: true, hint: "jobs waiting on its queue", cell: (row) => counted(row.visible), value: (row) => row.visible },
  { title: "In flight", number: true, hint: "jobs that a consumer has", cell: (row) => counted(row.in_flight), value: (row) => row.in_flight },
  { title: "Oldest", number: true, hint: "age of its oldest unfinished job", cell: (row) => seconds(row.oldest_age_seconds), value: (row) => row.oldest_age_seconds },
  { title: "Backlog", number: true, hint: "one consumer’s time that its unfinished jobs cost", cell: (row) => ({ text: seconds(row.backlog_seconds), kind: row.backlog_seconds ? null : "zero" }), value: (row) => row.backlog_seconds },
  { title: "Holders / lanes", number: true, hint: "consumers that hold it, and how many may work on it at once", cell: (row) => `${row.hosts} / ${row.lanes}`, value: (row) => row.hosts },
  { title: "Jobs/s", number: true, hint: "jobs that end per second", cell: (row) => number(row.jobs_per_second), value: (row) => row.jobs_per_second },
  { title: "Busy", number: true, hint: "fraction of its holders’ time that its jobs took recently", cell: (row) => ({ text: percent(row.busy), meter: row.busy }), value: (row) => row.busy },
  { title: "Service", number: true, hint: "how long a job takes", cell: (row) => seconds(row.service_seconds), value: (row) => row.service_seconds },
  { title: "Task", number: true, hint: "how much of a consumer’s time a job takes, where jobs are computed together", cell: (row) => seconds(row.task_seconds), value: (row) => row.task_seconds },
  { title: "Load", number: true, hint: "how long its model takes to load", cell: (row) => seconds(row.load_seconds), value: (row) => row.load_seconds },
];

export const CONSUMER_COLUMNS = [
  { title: "Consumer", cell: (row) => ({ text: row.consumer_id, hint: row.consumer_id }), value: (row) => row.consumer_id },
  { title: "State", cell: state, value: (row) => row.state },
  { title: "Slots", number: true, hint: "slots used, of all that it has", cell: (row) => ({ text: `${row.slots - row.free_slots} of ${row.slots}`, meter: row.slots ? 1 - row.free_slots / row.slots : 0 }), value: (row) => row.slots - row.free_slots },
  { title: "Free", number: true, cell: (row) => counted(row.free_slots), value: (row) => row.free_slots },
  { title: "In flight", number: true, cell: (row) => counted(row.in_flight), value: (row) => row.in_flight },
  { title: "Jobs", number: true, hint: "jobs that ended since it started", cell: (row) => number(row.jobs), value: (row) => row.jobs },
  { title: "Jobs/s", number: true, cell: (row) => number(row.jobs_per_second), value: (row) => row.jobs_per_second },
  { title: "Misses", number: true, hint: "loads that a job had to wait for", cell: (row) => number(row.misses), value: (row) => row.misses },
  { title: "Lease", number: true, hint: "time left until it counts as gone, unless it renews its row", cell: (row) => (row.lease_seconds_left > 0 ? seconds(Math.round(row.lease_seconds_left)) : "ended"), value: (row) => row.lease_seconds_left },
];

export const BAND_COLUMNS = [
  { title: "Priority", cell: (row) => String(row.priority) },
  { title: "Requests", number: true, cell: (row) => number(row.requests) },
  { title: "Size", number: true, cell: (row) => bytes(row.bytes) },
];
export const OUTCOME_COLUMNS = [
  { title: "Outcome", cell: (row) => row.name },
  { title: "Requests", number: true, cell: (row) => number(row.count) },
];
