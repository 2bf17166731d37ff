// load, report: figures as a person reads them. The same in the text, on the page and in the terminal.

import type { CountByCode, KneeReport, ThresholdReport } from './run-report.ts';

/** What is shown where there was nothing to measure. */
export const NOTHING = '-';

/** Three digits that count: `0.42 ms`, `17.3 ms`, `1.24 s`, `2 min 5 s`. */
export function durationText(durationMs: number | null): string {
  if (durationMs === null) return NOTHING;
  if (durationMs < 999.5) return `${digits(durationMs)} ms`;
  if (durationMs < 99_950) return `${digits(durationMs / 1000)} s`;
  const seconds = Math.round(durationMs / 1000);
  const rest = seconds % 60;
  return rest === 0
    ? `${Math.floor(seconds / 60)} min`
    : `${Math.floor(seconds / 60)} min ${rest} s`;
}

/** Three digits that count, and never fewer than the number has before its point. */
export function digits(value: number): string {
  const size = Math.abs(value);
  if (size >= 100 || Number.isInteger(value)) return String(Math.round(value));
  if (size >= 10) return value.toFixed(1);
  if (size >= 1) return value.toFixed(2);
  return value.toFixed(3);
}

export function rateText(perSecond: number): string {
  return `${digits(perSecond)}/s`;
}

/** `1.2 %` */
export function shareText(share: number): string {
  return `${digits(share * 100)} %`;
}

/** `3 (VM_NOT_FOUND 2, TIMEOUT 1)`; the most frequent code first. */
export function countsText({ total, byCode }: CountByCode): string {
  const codes = Object.entries(byCode).sort(([, one], [, other]) => other - one);
  if (codes.length === 0) return String(total);
  return `${total} (${codes.map(([code, count]) => `${code} ${count}`).join(', ')})`;
}

/** A figure in the unit of a condition. */
export function measuredText(value: number | null, unit: ThresholdReport['unit']): string {
  if (value === null) return NOTHING;
  if (unit === 'ms') return durationText(value);
  if (unit === 'share') return shareText(value);
  return unit === 'per_second' ? rateText(value) : digits(value);
}

/** What a search for the highest rate found, as one sentence. */
export function kneeText({ condition, highestHeldPerSecond }: KneeReport): string {
  return highestHeldPerSecond === null
    ? `No rate was found at which ${condition} holds.`
    : `${condition} holds up to ${rateText(highestHeldPerSecond)}.`;
}

export const KNEE_HEAD: readonly string[] = ['tried', 'measured', 'result'];

/** A row for each rate that was tried. */
export function kneeRows({ tries }: KneeReport): readonly (readonly string[])[] {
  return tries.map(({ ratePerSecond, value, unit, held, reason }) => [
    rateText(ratePerSecond),
    measuredText(value, unit),
    held ? 'held' : (reason ?? 'did not hold'),
  ]);
}

/** What became of a threshold, as one sentence. */
export function thresholdText({ condition, held, value, unit, abort }: ThresholdReport): string {
  const measure = value === null ? 'nothing was measured' : `measured ${measuredText(value, unit)}`;
  const end = !held && abort ? ', which ended the run' : '';
  return `${condition}: ${held ? 'held' : 'did not hold'}, ${measure}${end}`;
}
