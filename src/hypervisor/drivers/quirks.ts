// hypervisor: differences between versions of one hypervisor, as data. A driver has one set of traits and a list of
// quirks. Each quirk says which traits differ in which versions. Pure.

type Release = readonly [major: number, minor: number];

export interface Quirk<Traits> {
  /** The first version that has it. */
  readonly from: Release;
  /** The first later version without it. If absent, newer and unknown versions have it, too. */
  readonly before?: Release;
  /** What was observed, and with which version, as a sentence. */
  readonly seen: string;
  readonly traits: Partial<Traits>;
}

/**
 * Returns the traits of a version as the hypervisor prints it. If two quirks change one trait, the later in the list
 * applies.
 */
export function traitsOf<Traits extends object>(
  usual: Traits,
  quirks: readonly Quirk<Traits>[],
  version: string,
): Traits {
  const release = releaseOf(version);
  const applying = quirks.filter(
    ({ from, before }) => isReached(release, from) && !(before && isReached(release, before)),
  );
  return Object.assign({}, usual, ...applying.map(({ traits }) => traits));
}

/** An unreadable version counts as newer than all others. */
function releaseOf(version: string): Release {
  const match = /^(\d+)\.(\d+)/.exec(version);
  return match === null ? [Number.POSITIVE_INFINITY, 0] : [Number(match[1]), Number(match[2])];
}

const isReached = ([major, minor]: Release, from: Release): boolean =>
  major > from[0] || (major === from[0] && minor >= from[1]);
