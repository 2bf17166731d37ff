// load, run: what a run needs to know, with its defaults.

import type { RunObserver } from '../report/run-report.ts';
import type { Condition } from '../scenario/condition.ts';
import type { Scenario } from '../scenario/scenario.ts';
import type { KneeBounds } from './knee-search.ts';
import type { Target } from './target.ts';

export interface KneeOptions extends KneeBounds {
  readonly condition: Condition;
  readonly trySeconds: number;
}

export interface RunOptions {
  readonly target: Target;
  /** With the thresholds of the call. */
  readonly scenario: Scenario;
  /** Where the scenario was read, as it was given. */
  readonly scenarioFile?: string;
  /** Of the names and marks of all that the run makes; a random one by default. */
  readonly label?: string;
  /** That of the scenario by default, or a random one. */
  readonly seed?: number;
  /** 1 by default. */
  readonly processes?: number;
  /** A line for each operation is written there. */
  readonly rawFile?: string;
  /** Search for the highest rate in the place of the phases. */
  readonly findMax?: KneeOptions;
  /** What the run made is removed at its end; true by default. */
  readonly cleanup?: boolean;
  readonly cleanupTimeoutMs?: number;
  /** What runs that have ended left is removed before the first phase; true by default. */
  readonly removeLeftOvers?: boolean;
  readonly observer?: RunObserver;
  /** Ends the run; what it made is removed even so. */
  readonly signal?: AbortSignal;
}
