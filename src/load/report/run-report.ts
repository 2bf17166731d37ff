// load, report: what one run measured, as plain data: the file of --report-json, and the input of every other report. Types
// only: nothing is computed or printed here. Times with the ending Ms that say "since the start of the run" are on one
// monotonic clock, which all generator processes of the run share.

/** Grows by 1 when a member of the report is removed or changes its meaning. New members do not change it. */
export type RunReportFormat = 1;

/**
 * passed: every threshold held. failed: a threshold did not hold. aborted: a threshold with `abort: true` ended the run.
 * invalid: the generator was late or saturated, or could not do its work, so the figures say nothing about the daemon.
 * interrupted: somebody ended the run. Of several that apply the report has the last of: passed, failed, aborted, invalid,
 * interrupted.
 */
export type Verdict = 'passed' | 'failed' | 'aborted' | 'invalid' | 'interrupted';

export interface RunReport {
  readonly format: RunReportFormat;
  readonly run: RunFacts;
  readonly verdict: Verdict;
  /** Why the verdict is what it is, as sentences for a person; empty for `passed`. */
  readonly reasons: readonly string[];
  /** In their order. In a search for the highest rate each try is a phase. */
  readonly phases: readonly PhaseReport[];
  /** Operations over the whole run, sorted by name; steps before flows. */
  readonly operations: readonly OperationReport[];
  /** All steps of the run together. Flows are left out, because each is the sum of its steps. */
  readonly total: OperationReport;
  readonly thresholds: readonly ThresholdReport[];
  /** In the order of time, without gaps. Their number is bounded: in a long run one sample covers several seconds. */
  readonly samples: readonly Sample[];
  /** How long each sample is. The last one can be shorter. */
  readonly sampleIntervalMs: number;
  /** The figures of the daemon that the run looked for. `samples[].daemon` has the values of those that were found. */
  readonly daemonFigures: readonly DaemonFigure[];
  readonly generator: GeneratorReport;
  /** null unless the run was a search for the highest rate. */
  readonly knee: KneeReport | null;
  /** null if nothing was to be removed: --no-cleanup. */
  readonly cleanup: CleanupReport | null;
}

export interface RunFacts {
  /** Is part of the name of everything that the run made, and in its metadata. */
  readonly label: string;
  readonly scenario: ScenarioFacts;
  /** The address of the daemon, without credentials. */
  readonly url: string;
  /** Time of the wall clock, ISO 8601 in UTC, at which the first phase began. */
  readonly startedAt: string;
  /** From the start of the first phase until the last operation ended. */
  readonly durationMs: number;
  /** Number of generator processes. */
  readonly processes: number;
  /** The same scenario with the same seed makes the same arrivals and choices. */
  readonly seed: number;
  /** Of the daemon; null if it did not say. */
  readonly serverVersion: string | null;
  /** Of volant-load. */
  readonly version: string;
}

export interface ScenarioFacts {
  readonly name: string;
  /** Empty if the scenario has none. */
  readonly description: string;
  /** Path of the file as it was given; null if the scenario came from a program. */
  readonly file: string | null;
  /** SHA-256 of the checked scenario in hexadecimal digits: two runs with the same one did the same. */
  readonly sha256: string;
}

export type PhaseKind = 'constant' | 'ramp' | 'step' | 'spike' | 'poisson' | 'soak';

/** open: operations start at given times. closed: each user starts its next operation when the previous one has ended. */
export type LoadModel = 'open' | 'closed';

export interface PhaseReport {
  /** Unique in the report. */
  readonly name: string;
  readonly kind: PhaseKind;
  readonly model: LoadModel;
  /** Since the start of the run. */
  readonly startMs: number;
  /** As planned, or shorter if the run ended earlier. */
  readonly durationMs: number;
  /**
   * What the phase was to do over its time: starts per second (open) or users (closed). Straight lines connect the points;
   * two points of the same time are a jump. `atMs` is since the start of the run.
   */
  readonly plan: readonly { readonly atMs: number; readonly level: number }[];
  /** Operations whose intended start lies in this phase, sorted by name; steps before flows. */
  readonly operations: readonly OperationReport[];
  /** All its steps together. */
  readonly total: OperationReport;
  /** Only of a soak phase: steps that began in its first tenth and in its last tenth. */
  readonly drift: { readonly first: LatencySummary; readonly last: LatencySummary } | null;
}

export interface OperationReport {
  /** Of the step or flow; `total` for the sum. */
  readonly name: string;
  /** step: one operation, such as a create. flow: an operation of several steps, from its intended start to its last end. */
  readonly kind: 'step' | 'flow' | 'total';
  /** Operations that were begun and have ended: succeeded + refused + failed. */
  readonly count: number;
  readonly succeeded: number;
  /** The daemon answered 429 or 503: it was asked for more than it takes. They are not errors. */
  readonly refusals: CountByCode;
  /** What failed in any other way. Codes are those of the API, and those that ErrorCode lists. */
  readonly errors: CountByCode;
  /** Starts that were due, but not made; by reason. They are not in `count`. */
  readonly skipped: CountByCode;
  /** Successes per second of the phase or run. */
  readonly ratePerSecond: number;
  /** Of what succeeded. */
  readonly latency: LatencySummary;
}

export interface CountByCode {
  readonly total: number;
  readonly byCode: Readonly<Record<string, number>>;
}

/** Codes that the harness itself gives, beside the codes of the API (docs/errors.md) and system codes (ECONNREFUSED, ...). */
export type ErrorCode =
  /** The step did not reach what `until` names within its timeout. */
  | 'TIMEOUT'
  /** The connection broke, or could not be made, without a code of the system. */
  | 'CONNECTION'
  /** The end of the run cancelled it. */
  | 'CANCELLED'
  /** A guest answered with another status than the one that was expected. */
  | `GUEST_HTTP_${number}`
  /** Without a code of its own; `generator.messages` has the sentence. */
  | 'OTHER';

/** Reasons for a start that was not made. */
export type SkipReason =
  /** As many operations as max_in_flight allows were running. */
  | 'IN_FLIGHT'
  /** Every VM or deployment that it could use was in use by another flow. */
  | 'NOTHING_FREE';

/**
 * Latency from the intended start of an operation (open model and first step), or from the moment at which it could begin (later
 * steps, closed model), to its end. min, mean and max are exact. Percentiles (nearest rank) are within 0.4 % of the true value.
 */
export interface LatencySummary {
  readonly count: number;
  /** null, as all others, if count is 0. */
  readonly minMs: number | null;
  readonly meanMs: number | null;
  readonly p50Ms: number | null;
  readonly p90Ms: number | null;
  readonly p99Ms: number | null;
  readonly p999Ms: number | null;
  readonly maxMs: number | null;
}

export interface ThresholdReport {
  /** As it was written: `create.p99 < 200ms`. */
  readonly condition: string;
  /** true: a breach ends the run. */
  readonly abort: boolean;
  readonly held: boolean;
  /** What was measured, in `unit`; null if there was nothing to measure, which counts as not held. */
  readonly value: number | null;
  readonly bound: number;
  /** share: 0.01 is 1 %. */
  readonly unit: 'ms' | 'share' | 'count' | 'per_second';
}

/** One interval of the run. Counts are of steps; flows are not counted again. */
export interface Sample {
  /** Start of the interval, since the start of the run. */
  readonly atMs: number;
  /** Name of the phase at that moment; null after the last phase, while operations end. */
  readonly phase: string | null;
  readonly started: number;
  /** Ended, in any way. */
  readonly done: number;
  readonly succeeded: number;
  readonly errors: number;
  readonly refusals: number;
  readonly skipped: number;
  /** Flows that were running at the end of the interval. */
  readonly inFlight: number;
  /** Of steps that ended with success in the interval. */
  readonly latency: LatencySummary;
  /** How late the latest start of the interval was. */
  readonly lateMsMax: number;
  /** Name of the figure -> last value in the interval. Empty if the daemon was not heard of. */
  readonly daemon: Readonly<Record<string, number>>;
}

/** One figure of the daemon itself. */
export interface DaemonFigure {
  /** Key in `Sample.daemon`; ends with its unit. */
  readonly name: string;
  readonly description: string;
  /** gauge: a value at a moment. counter: grows from the start of the daemon; its differences say something. */
  readonly kind: 'gauge' | 'counter';
  /** Where it is read: `/metrics volant_...`, `/api/v1/system/status vm_count`. */
  readonly source: string;
  /** null: it was found. Otherwise why there are no values, as a sentence. */
  readonly missing: string | null;
}

export interface GeneratorReport {
  /** In a search for the highest rate each try has processes of its own, in the order of the tries. */
  readonly processes: readonly GeneratorProcessReport[];
  /** From here on a generator counts as late or saturated. */
  readonly limits: GeneratorLimits;
  /** Starts of the open model that came due, skipped ones included. */
  readonly starts: number;
  /** Of these, those that were later than `limits.lateMs`. */
  readonly lateStarts: number;
  readonly lateMsMax: number;
  /** Some of the messages of errors, each once; at most 20. */
  readonly messages: readonly string[];
  /** Lines of --raw that were left out because the disk was too slow. */
  readonly rawLinesLost: number;
}

export interface GeneratorLimits {
  /** A start later than this is late. */
  readonly lateMs: number;
  /** Largest share of late starts, and of the time in which a start of a process would have been late. */
  readonly lateShareMax: number;
  /** Largest 99th percentile of the event loop's delay. */
  readonly loopDelayMsMax: number;
  /**
   * Largest share of one processor, over any five seconds. Of the main thread the time in which it waited for a processor counts,
   * too.
   */
  readonly cpuShareMax: number;
  /** Largest share of the starts of the open model that are skipped. */
  readonly skippedShareMax: number;
}

export interface GeneratorProcessReport {
  readonly index: number;
  readonly pid: number;
  /** Delay of the event loop beyond the interval at which it is measured. */
  readonly loopDelayP99Ms: number;
  readonly loopDelayMaxMs: number;
  /**
   * The time at whose moments a start would have come late, because the event loop stalled, of the time that was looked
   * at.
   */
  readonly stalledMs: number;
  readonly measuredMs: number;
  /** Share of one processor, over the whole run and over the busiest five seconds. */
  readonly cpuShareMean: number;
  readonly cpuShareMax: number;
  /**
   * Share of the time in which the main thread ran or waited for a processor, over the five seconds with most of it; null where
   * the kernel does not count it.
   */
  readonly wantedShareMax: number | null;
  readonly starts: number;
  readonly lateStarts: number;
  readonly memoryBytesMax: number;
}

/** A search for the highest rate at which a condition holds. */
export interface KneeReport {
  readonly condition: string;
  /** The highest rate that held; null if none did. */
  readonly highestHeldPerSecond: number | null;
  /** The lowest rate that did not hold; null if all that were tried held. */
  readonly lowestFailedPerSecond: number | null;
  /** Why the search ended, as a sentence. */
  readonly end: string;
  /** In the order in which they were made. */
  readonly tries: readonly KneeTry[];
}

export interface KneeTry {
  /** Name of its phase in `RunReport.phases`. */
  readonly phase: string;
  readonly ratePerSecond: number;
  readonly held: boolean;
  /** What was measured, in the unit of the condition; null if there was nothing to measure. */
  readonly value: number | null;
  readonly unit: ThresholdReport['unit'];
  /** Why it did not hold, as a sentence; null if it held. */
  readonly reason: string | null;
}

export interface CleanupReport {
  /** What was found by the label of the run, and is gone. */
  readonly removedVms: number;
  readonly removedDeployments: number;
  readonly durationMs: number;
  /** What is still there; at most 100 of them. */
  readonly left: readonly LeftOver[];
  /** All that is still there. */
  readonly leftTotal: number;
  /** The command that removes what is left; null if nothing is. */
  readonly command: string | null;
}

export interface LeftOver {
  readonly kind: 'vm' | 'deployment';
  readonly name: string;
  readonly reason: string;
}

/**
 * Observes a run while it runs, on the main thread of volant-load, never in a generator process. A call must not throw and
 * should return quickly: the next sample waits for it.
 */
export interface RunObserver {
  /** Before anything is made. */
  onStart?(facts: Omit<RunFacts, 'startedAt' | 'durationMs'>): void;
  /** What happens outside of the phases: setup, cleanup, left-overs of earlier runs, as a sentence. */
  onNote?(note: string): void;
  /** Once a second, a second or two after its end, with the sample of that second. */
  onSample?(progress: RunProgress): void;
  /** After the cleanup. */
  onEnd?(report: RunReport): void;
}

export interface RunProgress {
  /** One second long, whatever `sampleIntervalMs` of the report is. */
  readonly sample: Sample;
  /** null after the last phase, while operations end. */
  readonly phase: {
    readonly name: string;
    readonly kind: PhaseKind;
    readonly model: LoadModel;
    /** From 1. */
    readonly number: number;
    readonly count: number;
    /** Since the start of the run. */
    readonly startMs: number;
    readonly durationMs: number;
    /** Starts per second, or users, that are due at the end of the sample. */
    readonly level: number;
  } | null;
  /** Since the start of the run. */
  readonly plannedMs: number;
  /** All steps since the start of the run. */
  readonly total: OperationReport;
  /** Each step and flow since the start of the run. */
  readonly operations: readonly OperationReport[];
  /** Thresholds as they are now. */
  readonly thresholds: readonly ThresholdReport[];
}
