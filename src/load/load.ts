// load: the entry point for programs that put a daemon under load.

export { removeRun } from './owned/cleanup.ts';
export { findRuns } from './owned/left-runs.ts';
export type * from './report/run-report.ts';
export { runLoad } from './run/run.ts';
export type { KneeOptions, RunOptions } from './run/run-options.ts';
export { clientOf, type Target } from './run/target.ts';
export { ConditionError, parseCondition } from './scenario/condition.ts';
export type { Scenario } from './scenario/scenario.ts';
export {
  checkScenario,
  parseScenario,
  readScenarioFile,
  ScenarioError,
} from './scenario/scenario-file.ts';
