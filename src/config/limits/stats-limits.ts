// config: the limits of figures and metrics, as part of LIMITS.

export const STATS_LIMITS = {
  /** Maximum number of VMs in one answer with their figures. */
  statsPageMax: 1_000,
  /** Figures that were read within this time are used again. */
  statsKeepMs: 1_000,
  /** Hypervisors that are asked for their figures at the same time, and the timeout of each. */
  statsQueriesMax: 32,
  statsQueryTimeoutMs: 1_000,
  /** No further hypervisor is asked after this time. The disks of the others are unknown in this reading. */
  statsQueriesAllMs: 3_000,
  /** Metrics are answered without figures that cannot be read in this time. */
  metricsReadTimeoutMs: 5_000,
  /** Metrics that may be sent at the same time. Further requests are answered with 503. */
  metricsAnswersMax: 8,
} as const;
