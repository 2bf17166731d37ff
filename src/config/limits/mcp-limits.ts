// config: the limits of the MCP endpoint, as part of LIMITS.

export const MCP_LIMITS = {
  /** Default and maximum number of list items in one answer. */
  mcpPageDefault: 100,
  mcpPageMax: 1_000,
  /** JSON-RPC messages in one request. Only the protocol revision 2025-03-26 has batches. */
  mcpBatchMax: 32,
  /** Resources that one stream subscribes to by name. */
  mcpWatchedMax: 256,
  /** Size of a request body for a workload, default size of its answer, and maximum size of an answer or a log. */
  mcpGuestBodyBytesMax: 1024 * 1024,
  mcpAnswerBytes: 64 * 1024,
  mcpAnswerBytesMax: 1024 * 1024,
  /** Maximum size of the list of a directory. */
  mcpFileListBytesMax: 4 * 1024 * 1024,
  /** Maximum time of waiting for a log line or console output. */
  mcpGuestWaitMaxMs: 60_000,
  /** Silence after which a log counts as read, and the timeout of reading it. */
  mcpLogQuietMs: 200,
  mcpLogTimeoutMs: 5_000,
  /** Default size of console output, its timeout, and the silence that ends it. */
  mcpConsoleBytes: 8 * 1024,
  mcpConsoleTimeoutMs: 5_000,
  mcpConsoleQuietMs: 500,
  /** Default size of a program's output, of each stream, and the default wait for its end. */
  mcpExecBytes: 16 * 1024,
  mcpExecWaitMs: 30_000,
  /** Default time for the boot of a VM that runs a program of an image, and for the pull before it. */
  mcpRunBootMs: 240_000,
  /** Characters of one console input: a terminal accepts 4096 per line, Enter included. */
  mcpConsoleInputMax: 4_095,
} as const;
