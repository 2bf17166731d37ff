// load, run: the search for the highest rate at which something holds. What a try does is the caller's.

import { LOAD_LIMITS } from '../load-limits.ts';

export interface KneeBounds {
  /** The first rate that is tried. */
  readonly fromPerSecond: number;
  /** No higher one is. */
  readonly toPerSecond: number;
  /** The search ends when the lowest rate that failed is at most this share above the highest one that held. */
  readonly precision: number;
}

/** unsure: whether it held cannot be said, so the search ends. */
export type TryResult = 'held' | 'failed' | 'unsure';

export interface KneeFound {
  readonly highestHeldPerSecond: number | null;
  readonly lowestFailedPerSecond: number | null;
  /** Why the search ended, as a sentence. */
  readonly end: string;
}

/** Below this share of the first rate it is not asked whether anything holds. */
const LOWEST_SHARE = 1 / 64;

/**
 * Doubles the rate until a try fails, then tries the geometric middle between what held and what failed. If the first try fails,
 * the rate is halved until one holds.
 */
export async function findKnee(
  { fromPerSecond, toPerSecond, precision }: KneeBounds,
  tryRate: (ratePerSecond: number) => Promise<TryResult>,
): Promise<KneeFound> {
  let [held, failed]: [number | null, number | null] = [null, null];
  const found = (end: string): KneeFound => ({
    highestHeldPerSecond: held,
    lowestFailedPerSecond: failed,
    end,
  });
  for (let count = 0; count < LOAD_LIMITS.kneeTriesMax; count += 1) {
    const rate: number = nextRate(held, failed, fromPerSecond, toPerSecond);
    const result = await tryRate(rate);
    if (result === 'unsure') return found(`The try at ${rate}/s says nothing`);
    if (result === 'held') held = rate;
    else failed = rate;
    if (held !== null && failed !== null && failed / held - 1 <= precision) {
      return found(`${failed}/s failed, which is not more than ${precision * 100} % higher`);
    }
    if (held !== null && held >= toPerSecond) return found(`${held}/s is the highest rate to try`);
    if (held === null && rate / 2 < fromPerSecond * LOWEST_SHARE) {
      return found(`Not even ${rate}/s held`);
    }
  }
  return found(`${LOAD_LIMITS.kneeTriesMax} tries were made`);
}

function nextRate(
  held: number | null,
  failed: number | null,
  first: number,
  highest: number,
): number {
  if (held === null) return rounded(failed === null ? first : failed / 2);
  return rounded(failed === null ? Math.min(held * 2, highest) : Math.sqrt(held * failed));
}

/** To three digits, for the reader. */
function rounded(ratePerSecond: number): number {
  return Number(ratePerSecond.toPrecision(3));
}
