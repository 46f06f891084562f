// Talking to the gateway, with the API key that this tab was given.

const KEY = "inference-engine-key";
const TIMEOUT_MILLISECONDS = 10000;

export const hasKey = () => sessionStorage.getItem(KEY) !== null;
export const keepKey = (key) => sessionStorage.setItem(KEY, key);
export const forgetKey = () => sessionStorage.removeItem(KEY);

export class Refused extends Error {
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }
}

export async function ask(path, options = {}) {
  const key = sessionStorage.getItem(KEY);
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  const signal = AbortSignal.timeout(TIMEOUT_MILLISECONDS);
  const response = await fetch(path, { ...options, headers, signal, cache: "no-store", credentials: "same-origin" });
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => ({}));
  const reason = problem.detail ?? `the gateway answered ${response.status}`;
  throw [401, 403].includes(response.status) ? new Refused(response.status, reason) : Object.assign(new Error(reason), { told: true });
}
