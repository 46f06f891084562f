// One job, by its id.

import { $, facts, setText } from "./elements.js";
import { DASH, moment, seconds } from "./figures.js";
import { ask } from "./gateway.js";

const FINISHED = ["SUCCESS", "ERROR", "CANCELLED", "EXPIRED"];
const SIGNS = { SUBMITTED: "○", IN_PROGRESS: "◐", SUCCESS: "●", ERROR: "✕", CANCELLED: "–", EXPIRED: "✕" };

let wanted = null; // its id, as long as the job may change
let shown = null;

export function listen() {
  $("job-form").addEventListener("submit", (event) => {
    event.preventDefault();
    wanted = $("job-id").value.trim();
    readJob();
  });
  $("job-cancel").addEventListener("click", () => {
    wanted = shown;
    readJob({ cancel: true });
  });
}

export async function readJob({ cancel = false } = {}) {
  const id = wanted;
  if (!id) return;
  try {
    const where = `ui/jobs/${encodeURIComponent(id)}`;
    const job = cancel ? await ask(`${where}/cancel`, { method: "POST" }) : await ask(where);
    if (id === wanted) showJob(job);
  } catch (error) {
    if (id === wanted) tellJob(error.message);
  }
}

function showJob(job) {
  shown = job.message_id;
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
  if (FINISHED.includes(job.status)) wanted = null; // the job cannot change any more
}

function tellJob(text) {
  wanted = null;
  $("job").hidden = true;
  $("job-problem").hidden = false;
  setText($("job-problem"), text);
}
