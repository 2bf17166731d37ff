// config: the limits of programs that are run in guests, as part of LIMITS. The agent in the guest has bounds of its own:
// docs/agent.md.

export const EXEC_LIMITS = {
  /** Connections of the daemon to execs of one VM at once: requests, followed outputs, waits and WebSockets. */
  execStreamsMax: 16,
  /** A request to run a program waits this long for the agent of a guest that boots. */
  execAgentWaitMs: 30_000,
  /** Timeout of one request to the agent about an exec. A start includes the time until the program was executed. */
  execRequestTimeoutMs: 15_000,
  /** Size of a request to run a program, with its input. */
  execBodyBytesMax: 4 * 1024 * 1024,
  /** Input of one request, and how long such a request waits until the program has taken it. */
  execInputBytesMax: 1024 * 1024,
  execInputTimeoutMs: 30_000,
  /** Arguments of a program, its variables, and all of them together. */
  execArgumentsMax: 256,
  execVariablesMax: 512,
  execCommandBytesMax: 512 * 1024,
  /** Output that the guest keeps for each of stdout and stderr: the default, and the maximum of a request. */
  execOutputBytes: 256 * 1024,
  execOutputBytesMax: 16 * 1024 * 1024,
  /** Output of one stream in one answer. */
  execAnswerBytesMax: 1024 * 1024,
  /** How long a request for output may wait for the first byte. */
  execOutputWaitMaxMs: 30_000,
  /** Maximum timeout of a program, and the time between SIGTERM and SIGKILL when a request names none. */
  execTimeoutMaxMs: 7 * 86_400_000,
  execKillAfterMs: 5_000,
  execKillAfterMaxMs: 600_000,
  /** Execs that are remembered in memory, to report that one was lost with its VM. */
  execsRememberedMax: 4_096,
  /** How often a lost connection looks whether its VM has ended, within logEndGraceMs. */
  execEndCheckMs: 50,
  /** An answer of the agent: a list of 64 execs of up to 2 KiB. */
  execListBytesMax: 160 * 1024,
  /** Event streams with the output of execs at once. */
  execEventStreamsMax: 256,
  /** Size of one message on a WebSocket to an exec, and the input that the program has not taken above which it is closed. */
  execMessageBytesMax: 256 * 1024,
  execInputBacklogBytesMax: 1024 * 1024,
  /** Output under way to one reader, above which the program is held back. */
  execOutputBacklogBytesMax: 256 * 1024,
  /** An event stream whose client takes nothing for this time is ended, and a silent one has a comment at this interval. */
  execStreamStallMs: 60_000,
  execStreamHeartbeatMs: 15_000,
} as const;
