// ui, base: times and sizes as text. Times are shown in the zone of the browser; the exact UTC time is in the title.

import { signal } from '@preact/signals';

/** The present time, for texts such as "3 min ago". Changes every ten seconds, while the page is visible. */
export const nowMs = signal(Date.now());

const TICK_MS = 10_000;

setInterval(() => {
  if (!document.hidden) nowMs.value = Date.now();
}, TICK_MS);
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) nowMs.value = Date.now();
});

const UNITS: readonly (readonly [string, number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
];

/** `3 min`, `2 d`; `0 s` for less than a second. */
export function duration(durationMs: number): string {
  const [unit, unitMs] = UNITS.find(([, sizeMs]) => durationMs >= sizeMs) ?? ['s', 1_000];
  return `${Math.max(0, Math.floor(durationMs / unitMs))} ${unit}`;
}

/** `3 min ago`; `now` for less than ten seconds. */
export function ago(timestamp: string, presentMs: number): string {
  const passedMs = presentMs - Date.parse(timestamp);
  return passedMs < TICK_MS ? 'now' : `${duration(passedMs)} ago`;
}

const EXACT = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });

export function exact(timestamp: string): string {
  return EXACT.format(new Date(timestamp));
}

/** MiB as `512 MiB` or `1.5 GiB`. */
export function mebibytes(sizeMb: number): string {
  if (sizeMb < 1024) return `${sizeMb} MiB`;
  return `${(sizeMb / 1024).toFixed(sizeMb % 1024 === 0 ? 0 : 1)} GiB`;
}
