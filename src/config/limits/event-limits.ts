// config: the limits of the event log and its readers, as part of LIMITS.

export const EVENT_LIMITS = {
  /** Newest events in memory for replay. Older ones are read from the store. */
  eventRingMax: 4096,
  /** Events kept in the store. */
  eventsStoredMax: 100_000,
  /** Maximum number of commits in one transaction, because the main thread is busy with them. */
  commitsPerFlushMax: 1024,
  /** Maximum number of old events that one transaction removes, so that no commit pays for a long backlog. */
  eventsPrunedPerFlushMax: 4096,
  /** Maximum number of event streams at once. */
  eventStreamsMax: 2048,
  /** Interval of the heartbeat comment on a silent stream. */
  eventHeartbeatMs: 15_000,
  /** A reader that reads nothing for this time is disconnected. */
  eventStallMs: 30_000,
  /** Events that are written to one reader before the next reader's turn. */
  eventBatchMax: 256,
} as const;
