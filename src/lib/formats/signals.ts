// lib, formats: names of signals, as images and manifests have them: SIGTERM, TERM or 15. Pure.

import { constants } from 'node:os';

/** Real-time signals: from what glibc calls SIGRTMIN to SIGRTMAX (signal(7)). */
const REAL_TIME_MIN = 34;
const REAL_TIME_MAX = 64;

/** The number of a signal of Linux; null if there is none of this name or number. */
export function signalNumber(text: string): number | null {
  const name = text.trim().toUpperCase();
  if (/^\d{1,2}$/.test(name)) {
    const number = Number(name);
    return number >= 1 && number <= REAL_TIME_MAX ? number : null;
  }
  const full = name.startsWith('SIG') ? name : `SIG${name}`;
  const known: Readonly<Record<string, number>> = constants.signals;
  if (Object.hasOwn(known, full)) return known[full] ?? null;
  const [, base, sign, offset = '0'] = /^SIGRT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(full) ?? [];
  if (base === undefined) return null;
  const from = base === 'MIN' ? REAL_TIME_MIN : REAL_TIME_MAX;
  const number = from + (sign === '-' ? -1 : 1) * Number(offset);
  return number >= REAL_TIME_MIN && number <= REAL_TIME_MAX ? number : null;
}
