// load, generator: what the main process and its generator processes say to each other, as messages of the IPC channel.

import type { TallyData } from '../measure/tally.ts';
import type { RunOwner } from '../owned/labels.ts';
import type { GeneratorProcessReport, OperationReport } from '../report/run-report.ts';
import type { Scenario } from '../scenario/scenario.ts';

/** What one process has to do. */
export interface GeneratorOrder {
  readonly url: string;
  readonly apiKey: string | null;
  /** PEM certificates of authorities. */
  readonly ca: string | null;
  readonly scenario: Scenario;
  readonly owner: RunOwner;
  readonly seed: number;
  /** Which of the processes it is, from 0. It makes each start and has each user whose number leaves this remainder. */
  readonly index: number;
  readonly processes: number;
  /** In names, between the processes of several tries of one run. */
  readonly round: number;
  readonly maxInFlight: number;
  /** Of what setup made, the part that is this process's own. */
  readonly vms: readonly string[];
  readonly deployments: readonly string[];
  /** null: no raw lines. */
  readonly rawFile: string | null;
}

export type ToGenerator =
  | { readonly kind: 'prepare'; readonly order: GeneratorOrder }
  /** The first phase begins at this moment of the host's monotonic clock, so long after the start of the whole run. */
  | { readonly kind: 'begin'; readonly atMs: number; readonly sinceRunMs: number }
  /** Start nothing more; what runs may end within this time. */
  | { readonly kind: 'end'; readonly drainMs: number };

export type FromGenerator =
  | { readonly kind: 'prepared' }
  | {
      readonly kind: 'windows';
      /** No window of a second before this one will follow. */
      readonly upToSecond: number;
      readonly windows: readonly WindowData[];
      readonly inFlight: number;
      /** New messages of errors. */
      readonly messages: readonly string[];
    }
  | {
      readonly kind: 'finished';
      readonly health: GeneratorProcessReport;
      readonly rawLinesLost: number;
    };

/** What one process measured in one second of the round. */
export interface WindowData {
  readonly second: number;
  /** Steps that began. */
  readonly started: number;
  /** Flows of the open model that began, how many of them late, and the latest. */
  readonly starts: number;
  readonly lateStarts: number;
  readonly lateMsMax: number;
  readonly entries: readonly WindowEntry[];
}

/** Operations that ended in the second, or starts of it that were skipped. */
export interface WindowEntry {
  /** Index of the phase in which the flow was due. */
  readonly phase: number;
  readonly kind: Exclude<OperationReport['kind'], 'total'>;
  readonly name: string;
  /** Of a soak phase: the first or the last tenth of it. */
  readonly part: 'first' | 'last' | null;
  readonly tally: TallyData;
}
