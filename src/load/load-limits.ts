// load: every limit of volant-load, with its unit in its name. What a scenario may set has its default here.

import type { GeneratorLimits } from './report/run-report.ts';

export const LOAD_LIMITS = Object.freeze({
  /** A scenario file. */
  scenarioBytesMax: 1024 * 1024,
  /** A report that is read again. */
  reportBytesMax: 64 * 1024 * 1024,
  phasesMax: 50,
  operationsMax: 50,
  stepsPerOperationMax: 50,
  thresholdsMax: 100,
  /** Problems of a scenario that are reported at once. */
  problemsMax: 64,
  /** Generator processes of one run. */
  processesMax: 64,
  /** Starts per second of all processes together. */
  ratePerSecondMax: 100_000,
  /** Users of the closed model. */
  usersMax: 10_000,
  phaseSecondsMax: 7 * 24 * 3600,
  /** Flows that run at once, when the scenario does not say it, and at most. */
  inFlightDefault: 256,
  inFlightMax: 10_000,
  /** A step takes no longer, when the scenario does not say it, and at most. The daemon waits no longer than the second. */
  stepTimeoutSecondsDefault: 60,
  stepTimeoutSecondsMax: 600,
  /** VMs and deployments that are made before the first phase. */
  setupMax: 10_000,
  /** What is made or removed at once by setup and cleanup. */
  setupConcurrencyMax: 16,
  /** Pauses between looks at a VM or a guest while a step waits for it: short at first, longer later. */
  pollMinMs: 10,
  pollMaxMs: 200,
  /** After the last phase the flows that run get this long, then they are cancelled. */
  drainSecondsDefault: 30,
  /** The same after Ctrl-C, and at a breach of a threshold with `abort: true`. */
  abortDrainMs: 2_000,
  /** Requests of each generator process before the first phase, and how long they may take in all. */
  warmUpRequests: 500,
  warmUpMs: 2_000,
  /** A generator process must be ready, and must have ended, within this time. */
  processStartMs: 30_000,
  processEndMs: 15_000,
  /** How long a second waits for figures of a generator process before it is shown without them. */
  windowWaitMs: 3_000,
  /** Codes that are counted apart for one operation. The others count as OTHER. */
  codesPerOperationMax: 64,
  /** Messages of errors that are kept. */
  messagesMax: 20,
  messageCharactersMax: 300,
  /** Samples of one report; in a longer run one sample covers several seconds. */
  samplesMax: 7_200,
  /** One look at the figures of the daemon. */
  daemonSampleTimeoutMs: 2_000,
  metricsBytesMax: 8 * 1024 * 1024,
  /** Lines of --raw that wait for the disk, in each process. */
  rawBufferBytesMax: 16 * 1024 * 1024,
  /** What cleanup does in all, when the call does not say it. */
  cleanupSecondsDefault: 120,
  /** A delete of one object during cleanup. */
  cleanupCallMs: 90_000,
  /** What a cancelled request may still have begun is looked for again after this pause. */
  cleanupSettleMs: 500,
  cleanupRoundsMax: 20,
  /** Left-overs that a report lists. */
  leftListedMax: 100,
  /** Tries of a search for the highest rate. */
  kneeTriesMax: 40,
});

/** When a generator counts as late or saturated, unless the scenario says otherwise. */
export const GENERATOR_LIMITS: GeneratorLimits = Object.freeze({
  lateMs: 50,
  lateShareMax: 0.01,
  loopDelayMsMax: 100,
  cpuShareMax: 0.9,
  skippedShareMax: 0.01,
});
