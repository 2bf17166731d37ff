// config: the limits of what is done for VMs one by one, as part of LIMITS.

export const VM_LIMITS = {
  /** What operations (create, start, stop, delete) that run at once may cost together; the rest wait in line. */
  operationsRunningMax: 64,
  /** Operations that may wait in line. A client may have as many as places are left; more launches answer 503. */
  operationsWaitingMax: 4096,
  /** Creates that are looked into and written down at once, before they get in line. */
  intakeMax: 16,
  /** Pace that a line of launches is thought to have until it was measured. */
  launchesPerSecondGuess: 50,
  /** What a hypervisor is taken to cost its host beside the memory of its guest. */
  hypervisorCostMb: 48,
  /** VMs that are started at once after a restart of the host; the next ones follow. */
  autostartsRunningMax: 64,
  /** Operations that may wait for one VM; more answer 409. */
  operationsPerVmMax: 8,
  /** A step that fails is tried again after so long, and longer each time. */
  stepRetryMinMs: 250,
  stepRetryMaxMs: 30_000,
  /** A request that waits for a step is told of its error after so many tries; the step is tried on. */
  stepFailuresTold: 3,
  /** The start of the daemon waits so long for the end of a VM that is gone to be written down. */
  recoveryWaitMs: 5_000,
  /** The host is compared with the records so often. */
  auditIntervalMs: 60_000,
  /** A repair waits so long for a VM to be in line. */
  auditSettleMs: 30_000,
  /** What was done for a VM is remembered so often, with so many steps each, and written down so soon after. */
  operationsKeptPerVmMax: 50,
  operationStepsMax: 50,
  operationWriteMs: 250,
  /** A VM is described in its run directory so soon after its launch, and again so soon after that failed. */
  descriptionWriteMs: 10_000,
  descriptionRetryMs: 60_000,
  descriptionsPerJobMax: 64,
  /** A hypervisor that does not answer is asked again after so long, and longer each time. */
  controlRetryMinMs: 100,
  controlRetryMaxMs: 30_000,
  controlConnectMs: 10_000,
  /** Each hypervisor that runs, and the agent in its guest, is asked so often whether it answers. */
  pulseIntervalMs: 10_000,
  /** Some are asked at each tick, up to this maximum number: of very many VMs each one is asked less often. */
  pulseTickMs: 100,
  pulsesPerTickMax: 20,
  /** One that has not answered after so long is not ready; a guest under emulation on a busy host is slow. */
  pulseTimeoutMs: 10_000,
  agentPulseTimeoutMs: 30_000,
  /** From launch until the hypervisor's control socket must have answered. */
  launchTimeoutMs: 30_000,
  /** One command on a control socket. */
  controlTimeoutMs: 5_000,
  /** Guest asked to power off -> SIGTERM, where neither request, config nor manifest says how long. */
  stopGraceMs: 10_000,
  /** The same for a delete, where the request does not say: nothing of the guest is kept. */
  deleteGraceMs: 2_000,
  /** A delete whose guest has accepted to power off waits so long: a busy host is slow, not the guest deaf. */
  deleteAnsweredGraceMs: 5_000,
  /** Longest grace that may be asked for. */
  graceSecondsMax: 3_600,
  /** The guest's agent ends its workload so long before the guest must have powered off. */
  graceReserveMs: 1_000,
  /** After each boot the agent is asked for its workload for so long, so often at first; on while something is wrong. */
  workloadLookMs: 60_000,
  workloadPauseMinMs: 500,
  /** However often an agent says that its workload has changed, it is asked at most so often. */
  workloadNewsMinMs: 500,
  /** Guests that power off at once, for each core of the host; the rest wait in line before their grace begins. */
  endsPerCore: 2,
  /** A guest that has not powered off after so long lets the next one in line begin. */
  endPlaceMs: 1_000,
  /** SIGTERM -> SIGKILL. */
  stopTerminateMs: 5_000,
  /** SIGKILL -> the stop is reported as failed. */
  stopKillMs: 10_000,
} as const;
