// config: the limits of what is sent to guests and comes from them, as part of LIMITS.

export const GUEST_LIMITS = {
  /** Requests, log streams and actions of clients that one VM's agent has at once. */
  agentStreamsMax: 12,
  /** Connections and flows of datagrams that one VM's agent has at once for host ports, and the most that may be set. */
  agentTunnelsMax: 16,
  agentTunnelsSettingMax: 48,
  /** A guest must have accepted a connection through its agent within so long. */
  tunnelConnectTimeoutMs: 10_000,
  /** Senders of datagrams to one host port, how long each may be silent, and what waits of each. */
  udpFlowsMax: 1024,
  udpFlowIdleMs: 60_000,
  /** The same of one that was a question and its answer so far. */
  udpFlowAnsweredIdleMs: 5_000,
  udpFlowBytesMax: 256 * 1024,
  /** A proxied request is ended when neither side sent anything for so long. */
  agentProxyTimeoutMs: 120_000,
  /** Largest request body that is handed to a guest. */
  agentProxyBodyBytesMax: 1024 * 1024 * 1024,
  /** WebSockets to workloads: one message; how often they are pinged; and how long the workload has to close. */
  agentSocketMessageBytesMax: 4 * 1024 * 1024,
  agentSocketPingMs: 60_000,
  agentSocketCloseMs: 5_000,
  /** An action without timeout_ms, and the longest that a manifest may ask for. */
  actionTimeoutMs: 30_000,
  actionTimeoutMaxMs: 120_000,
  /** Largest answer of an action. */
  actionAnswerBytesMax: 4 * 1024 * 1024,
  /** A workload's OpenAPI document: from its agent, from a URL, and how large it may be. */
  documentAgentTimeoutMs: 3_000,
  documentFetchTimeoutMs: 10_000,
  documentBytesMax: 4 * 1024 * 1024,
  documentConvertMs: 5_000,
} as const;
