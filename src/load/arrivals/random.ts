// load, arrivals: random numbers that are the same for the same seed: everything that a run chooses by chance comes from here.

/** Returns the next number from 0 up to but without 1. */
export type Random = () => number;

/**
 * Each list of keys gives a sequence of its own, so what one flow draws does not depend on the others. The generator is
 * mulberry32 (Tommy Ettinger), whose start is mixed from the keys with the finaliser of MurmurHash3.
 */
export function randomOf(seed: number, ...keys: readonly number[]): Random {
  let state = mixed(seed >>> 0);
  for (const key of [Math.floor(seed / 2 ** 32), ...keys])
    state = mixed((state ^ key) + 0x9e3779b9);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}

function mixed(given: number): number {
  let value = given | 0;
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return value ^ (value >>> 16);
}

/** One of the items, each with the probability of its weight. */
export function choose<T extends { readonly weight: number }>(
  items: readonly T[],
  random: Random,
): T | undefined {
  let left = random() * items.reduce((sum, { weight }) => sum + weight, 0);
  for (const item of items) {
    left -= item.weight;
    if (left < 0) return item;
  }
  return items.at(-1);
}
