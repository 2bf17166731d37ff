// config: the limits of the event log and its readers, as part of LIMITS.

export const EVENT_LIMITS = {
  /** Newest events kept in memory for replay; older ones are read from the store. */
  eventRingMax: 4096,
  /** Events kept in the store. */
  eventsStoredMax: 100_000,
  /** Commits that share one transaction at most: the main thread is busy with them meanwhile. */
  commitsPerFlushMax: 1024,
  /** Old events that one transaction removes at most, so that no commit pays for a long backlog. */
  eventsPrunedPerFlushMax: 4096,
  /** Most readers of event streams at once. */
  eventStreamsMax: 2048,
  /** A comment is sent on a silent stream so often. */
  eventHeartbeatMs: 15_000,
  /** A reader that takes nothing for so long is cut off. */
  eventStallMs: 30_000,
  /** Events written to one reader in one go before others get their turn. */
  eventBatchMax: 256,
} as const;
