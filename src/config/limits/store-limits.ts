// config: the limits of the records on disk, as part of LIMITS.

export const STORE_LIMITS = {
  /** Records of inactive VMs that are cached after a request. */
  recordsKeptMax: 1024,
  /** Bodies of inactive VMs that are cached. */
  bodiesKeptCharactersMax: 48 * 1024 ** 2,
  /** A list of more VMs than this is sent in chunks. */
  listWholeMax: 500,
  /** Approximate size of such a chunk in characters. */
  listPieceCharacters: 64 * 1024,
  /** Long lists that are sent at once. */
  listStreamsMax: 64,
  /** Encoded size of one record or event. The largest is a config with its manifest. */
  recordBytesMax: 16 * 1024 * 1024,
  /** LMDB accepts keys of less than 2 KiB. */
  recordKeyBytesMax: 1024,
  /** Timeout of the check of all records after the start of the daemon. */
  stateCheckTimeoutMs: 120_000,
  /** Kept copies of the state from before a format migration. */
  stateCopiesMax: 3,
  /** Chunk of a backup that is read and sent at once. */
  backupChunkBytes: 256 * 1024,
  /** A client that reads nothing of its backup for this time is disconnected. */
  backupStallMs: 60_000,
} as const;
