// config: the limits of operations on VMs, as part of LIMITS.

export const VM_LIMITS = {
  /** Total cost of the operations (create, start, stop, delete) that run at once. The rest are queued. */
  operationsRunningMax: 64,
  /**
   * Operations that may be queued. A client may queue as many as there are free places. Further launches are answered
   * with 503.
   */
  operationsWaitingMax: 4096,
  /** Creates that are checked and stored at once, before they are queued. */
  intakeMax: 16,
  /** Assumed rate of the launch queue until it was measured. */
  launchesPerSecondGuess: 200,
  /** Assumed memory of a hypervisor in addition to that of its guest. */
  hypervisorCostMb: 48,
  /** Largest time in `metadata.simulator`. */
  simulationMsMax: 24 * 3600 * 1000,
  /** Longest time from a request until the deadline that it gives a VM, a year. */
  deadlineSecondsMax: 366 * 24 * 3600,
  /** VMs whose deadlines have passed are looked for at most once in this time. */
  deadlineLookMs: 250,
  /** They are looked for after this time at the latest: a deadline of an earlier boot is a time of day, which may be set. */
  deadlineTimerMs: 60_000,
  /** Delay before a delete at a deadline is tried again. */
  deadlineRetryMs: 10_000,
  /** VMs that are started at once after a restart of the host. */
  autostartsRunningMax: 64,
  /** Operations that may wait for one VM. Further ones are answered with 409. */
  operationsPerVmMax: 8,
  /** A failed step is retried after a backoff that grows from the first value to the second. */
  stepRetryMinMs: 250,
  stepRetryMaxMs: 30_000,
  /** A request that waits for a step gets the step's error after this many failures. The step is still retried. */
  stepFailuresReported: 3,
  /** How long the start of the daemon waits until the end of a vanished VM is recorded. */
  recoveryWaitMs: 5_000,
  /** Interval at which the host is compared with the records. */
  auditIntervalMs: 60_000,
  /** How long a repair waits for a VM's turn in the queue. */
  auditSettleMs: 30_000,
  /** Operations that are kept per VM, steps of each, and the delay before they are stored. */
  operationsKeptPerVmMax: 50,
  operationStepsMax: 50,
  operationWriteMs: 250,
  /** Delay before a launched VM is described in its run directory, and before a retry. */
  descriptionWriteMs: 10_000,
  descriptionRetryMs: 60_000,
  descriptionsPerJobMax: 64,
  adoptionsPerJobMax: 64,
  /** Run directories, cgroups and disks that one job removes; the rest goes to other jobs at the same time. */
  removalsPerJobMax: 48,
  controlConnectsPerTurnMax: 16,
  /** A hypervisor that does not answer is asked again after a backoff that grows from the first value to the second. */
  controlRetryMinMs: 100,
  controlRetryMaxMs: 30_000,
  controlConnectMs: 10_000,
  /** How often each running hypervisor, and the agent of its guest, is asked whether it answers. */
  pulseIntervalMs: 10_000,
  /** Each tick asks up to this many, so with very many VMs each is asked less often. */
  pulseTickMs: 100,
  pulsesPerTickMax: 20,
  /** Without an answer for this time it is not ready. An emulated guest on a busy host is slow. */
  pulseTimeoutMs: 10_000,
  agentPulseTimeoutMs: 30_000,
  /** Time from the launch until the hypervisor's control socket must answer. */
  launchTimeoutMs: 30_000,
  /** Timeout of one command on a control socket. */
  controlTimeoutMs: 5_000,
  /** How long a connection to a console is retried while the hypervisor has not yet seen that earlier viewers left. */
  consoleConnectMs: 2_000,
  /** Grace period, when neither request, config nor manifest sets one. */
  stopGraceMs: 10_000,
  /** Grace period of a delete when the request sets none: nothing of the guest is kept. */
  deleteGraceMs: 2_000,
  /** Grace period of a delete after the guest has accepted to power off: the host may be slow. */
  deleteAnsweredGraceMs: 5_000,
  /** Maximum grace period. */
  graceSecondsMax: 3_600,
  /**
   * The guest's agent ends its workload a quarter of the grace period before its end, within these bounds: the guest has to
   * write to its disks and to power off.
   */
  graceReserveMs: 1_000,
  graceReserveMaxMs: 5_000,
  /**
   * How long, and at first how often, the agent is asked for its workload after each boot. It continues while
   * something is wrong.
   */
  workloadFollowMs: 60_000,
  workloadPauseMinMs: 500,
  /** Minimum interval between two requests after the agent reports changes of its workload. */
  workloadChangeMinMs: 500,
  /** Guests that power off at once, per core of the host. The rest are queued before their grace period begins. */
  endsPerCore: 2,
  /** A guest that has not powered off after this time lets the next one in the queue begin. */
  endPlaceMs: 1_000,
  /** Time from SIGTERM to SIGKILL. */
  stopTerminateMs: 5_000,
  /** Time from SIGKILL until the stop is reported as failed. */
  stopKillMs: 10_000,
} as const;
