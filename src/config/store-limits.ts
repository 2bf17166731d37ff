// config: the limits of the records on disk, as part of LIMITS.

export const STORE_LIMITS = {
  /** All records are read in this time when a daemon starts; what takes longer has no end. */
  stateCheckTimeoutMs: 120_000,
  /** Copies of the state from before a change of its format. */
  stateCopiesMax: 3,
} as const;
