// config: the limits of the traffic with guests, as part of LIMITS.

export const GUEST_LIMITS = {
  /** Requests, log streams and actions of clients at one VM's agent at once. */
  agentStreamsMax: 12,
  /** Connections and UDP flows of published ports through one VM's agent at once, and the maximum of the setting. */
  agentTunnelsMax: 16,
  agentTunnelsSettingMax: 48,
  /** A guest must accept a connection through its agent within this time. */
  tunnelConnectTimeoutMs: 10_000,
  /** UDP senders per published port, how long each may be silent, and how many bytes of each are buffered. */
  loopbackConnectionsMax: 256,
  udpFlowsMax: 1024,
  udpFlowIdleMs: 60_000,
  /** The idle time of a flow that consists of one request and its answer. */
  udpFlowAnsweredIdleMs: 5_000,
  udpFlowBytesMax: 256 * 1024,
  /** A proxied request ends when neither side has sent anything for this time. */
  agentProxyTimeoutMs: 120_000,
  /** Maximum size of a request body for a guest. */
  agentProxyBodyBytesMax: 1024 * 1024 * 1024,
  /** A transfer of files ends when neither side has sent anything for this time. */
  fileSilenceMs: 300_000,
  /** Maximum size of a file or an archive for a guest. */
  fileBodyBytesMax: 64 * 1024 ** 3,
  /** What is read and discarded of the body of a refused request before its connection is closed. */
  fileRefusedBytesMax: 16 * 1024 ** 2,
  /** Maximum length of the answer in which an agent says why it refuses. */
  fileRefusalBytesMax: 4096,
  /** Watches of files: of all guests, and of one; its agent has room for as many. */
  fileWatchesMax: 256,
  fileWatchesPerVmMax: 8,
  /** The agent must have marked all directories of a new watch within this time. */
  fileWatchBeginMs: 30_000,
  /** A watch whose client takes nothing for this time is ended, and a silent one has a comment at this interval. */
  fileWatchStallMs: 30_000,
  fileWatchHeartbeatMs: 15_000,
  /** Maximum length of what an agent says of one change: two paths, escaped. */
  fileWatchLineBytesMax: 256 * 1024,
  /** WebSockets to workloads: size of one message, ping interval, and how long the workload has to close. */
  agentSocketMessageBytesMax: 4 * 1024 * 1024,
  agentSocketPingMs: 60_000,
  agentSocketCloseMs: 5_000,
  /** Timeout of an action without timeout_ms, and the maximum that a manifest may set. */
  actionTimeoutMs: 30_000,
  actionTimeoutMaxMs: 120_000,
  /** Maximum size of an action's answer. */
  actionAnswerBytesMax: 4 * 1024 * 1024,
  /**
   * A workload's OpenAPI document: timeout from its agent, timeout from a URL, maximum size, and timeout of its
   * conversion.
   */
  documentAgentTimeoutMs: 3_000,
  documentFetchTimeoutMs: 10_000,
  documentBytesMax: 4 * 1024 * 1024,
  documentConvertMs: 5_000,
} as const;
