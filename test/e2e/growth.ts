// test helpers: whether what was measured repeatedly grows without end, or has levelled off. Pure.

export interface Bound {
  /** A growth of so much from one part of the run to the next is noise. */
  readonly noise: number;
}

/** What a series did over the parts of its run, oldest first. */
export interface Growth {
  readonly medians: readonly number[];
  /** It grew in the last part as it did before. */
  readonly isEndless: boolean;
}

const PARTS = 4;
/** What levels off grows less from part to part: a growth that is not below this share of the one before is steady. */
const STEADY = 0.6;

/**
 * Compares the middles of the four quarters of a series. What is filled once, such as a cache, grows less and less; what
 * leaks grows by the same amount each time. The first quarter is for warming up and counts for nothing.
 */
export function growthOf(series: readonly number[], { noise }: Bound): Growth {
  const size = series.length / PARTS;
  if (size < 2) throw new RangeError(`${series.length} samples are too few`);
  const medians = Array.from({ length: PARTS }, (_, part) =>
    medianOf(series.slice(Math.floor(part * size), Math.floor((part + 1) * size))),
  );
  const [, second = 0, third = 0, fourth = 0] = medians;
  const last = fourth - third;
  const before = third - second;
  return { medians, isEndless: last > noise && last > before * STEADY };
}

function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
