// config: the limits of the endpoint for agents, as part of LIMITS.

export const MCP_LIMITS = {
  /** Items of a list that an agent gets when it does not say how many, and the most that it may ask for. */
  mcpPageDefault: 100,
  mcpPageMax: 1_000,
  /** JSON-RPC messages in one request; only the revision of 2025-03-26 knows of more than one. */
  mcpBatchMax: 32,
  /** Resources that one stream of an agent watches by name. */
  mcpWatchedMax: 256,
  /** Body of a request to a workload, its answer when nothing is said, and the largest part of an answer or a log. */
  mcpGuestBodyBytesMax: 1024 * 1024,
  mcpAnswerBytes: 64 * 1024,
  mcpAnswerBytesMax: 1024 * 1024,
  /** What an agent may wait for at most: a line of a log, an answer of a console. */
  mcpGuestWaitMaxMs: 60_000,
  /** A log that says nothing for so long has said what it had; all that was kept is read within so long. */
  mcpLogQuietMs: 200,
  mcpLogTimeoutMs: 5_000,
  /** Output of a console when nothing is said, how long it is waited for, and the silence that ends it. */
  mcpConsoleBytes: 8 * 1024,
  mcpConsoleTimeoutMs: 5_000,
  mcpConsoleQuietMs: 500,
  /** Characters that are typed at once: a terminal takes 4096 in a line, Enter included. */
  mcpConsoleInputMax: 4_095,
} as const;
