// Numbers and times as people read them.

export const DASH = "–";

export function number(value) {
  if (value === null || value === undefined) return DASH;
  const digits = Number.isInteger(value) || Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString("en-US", { maximumFractionDigits: digits });
}

export function seconds(value) {
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

// In one unit, where there is little room.
export function roughly(value) {
  if (value === null || value === undefined || value < 60) return seconds(value);
  const [unit, size] = [["d", 86400], ["h", 3600], ["min", 60]].find(([, size]) => value >= size);
  return `${number(Math.round((value / size) * 10) / 10)} ${unit}`;
}

export function percent(value) {
  return value === null || value === undefined ? DASH : `${Math.round(value * 100)} %`;
}

export function bytes(value) {
  if (value === null || value === undefined) return DASH;
  const power = value < 1000 ? 0 : Math.min(4, Math.floor(Math.log10(value) / 3));
  return `${number(value / 1000 ** power)} ${["B", "kB", "MB", "GB", "TB"][power]}`;
}

export function clock(unixSeconds, fraction = 0) {
  const options = { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: fraction || undefined, hour12: false };
  return new Date(unixSeconds * 1000).toLocaleTimeString("en-GB", options);
}

// With the date, unless that is today's.
export function moment(unixSeconds) {
  if (unixSeconds === null) return DASH;
  const [date, today] = [new Date(unixSeconds * 1000), new Date()].map((one) => one.toLocaleDateString("sv-SE"));
  return date === today ? clock(unixSeconds, 3) : `${date} ${clock(unixSeconds, 3)}`;
}
