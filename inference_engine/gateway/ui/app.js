// The status page. It reads ui/data every two seconds while its tab is visible, and updates only what has changed.

import { $, setAttribute, setText } from "./elements.js";
import { clock, seconds } from "./figures.js";
import { Refused, ask, forgetKey, hasKey, keepKey } from "./gateway.js";
import { listen, readJob } from "./job.js";
import { build, show } from "./overview.js";

const POLL_MILLISECONDS = 2000;
const STALE_SECONDS = 10; // of the reading that the gateway serves, by the gateway's clock

let receivedAt = 0, timer = null, asking = false;

async function poll() {
  if (asking) return;
  clearTimeout(timer);
  asking = true;
  try {
    const data = await ask("ui/data");
    receivedAt = Date.now();
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
    asking = false;
  }
  showAge();
  if (!document.hidden && $("key-form").hidden) timer = setTimeout(poll, POLL_MILLISECONDS);
}

function lost(error) {
  const what = error.told ? `The gateway cannot read the deployment: ${error.message}` : "The gateway does not answer.";
  const since = receivedAt ? ` The data shown is from ${clock(receivedAt / 1000)}.` : "";
  connection("bad", "✕", error.told ? "No data" : "Gateway gone");
  setText($("banner"), what + since);
  $("banner").hidden = false;
}

function askForKey(refused) {
  // A missing key needs no explanation; any other rejection does, also without a key.
  const told = refused.status === 403 || hasKey();
  forgetKey();
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
  setText($("age"), receivedAt ? `at ${clock(receivedAt / 1000)}` : "");
}

build();
listen();
$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  keepKey($("key").value.trim());
  $("key").value = "";
  poll();
});
document.addEventListener("visibilitychange", () => {
  clearTimeout(timer);
  if (!document.hidden && $("key-form").hidden) poll();
});
poll();
