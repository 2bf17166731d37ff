// config: the limits of the records on disk, as part of LIMITS.

export const STORE_LIMITS = {
  /** One record or event, encoded; the largest is a config with its manifest. */
  recordBytesMax: 16 * 1024 * 1024,
  /** LMDB takes keys of less than 2 KiB. */
  recordKeyBytesMax: 1024,
  /** All records are read in this time when a daemon starts; what takes longer has no end. */
  stateCheckTimeoutMs: 120_000,
  /** Copies of the state from before a change of its format. */
  stateCopiesMax: 3,
  /** A piece of a backup that is read and sent at once. */
  backupChunkBytes: 256 * 1024,
  /** A client that takes nothing of its backup for so long is cut off. */
  backupStallMs: 60_000,
} as const;
