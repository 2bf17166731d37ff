// load: `volant-load run` and `volant-load check`.

import type { Command } from 'commander';
import {
  type CommandWorld,
  numberBetween,
  type TargetFlags,
  targetOf,
  withTarget,
} from './command-world.ts';
import { EXIT_OF_VERDICT, PrintedResult, UsageError } from './exit-status.ts';
import { LOAD_LIMITS } from './load-limits.ts';
import { LABEL_PATTERN, newLabel } from './owned/labels.ts';
import { liveProgress } from './report/live-progress.ts';
import { textReport } from './report/text-report.ts';
import { withReports, writeReports } from './report-files.ts';
import { runLoad } from './run/run.ts';
import type { KneeOptions } from './run/run-options.ts';
import { type Condition, ConditionError, parseCondition } from './scenario/condition.ts';
import type { Scenario, Threshold } from './scenario/scenario.ts';
import { readScenarioFile } from './scenario/scenario-file.ts';
import { conditionProblem } from './scenario/scenario-rules.ts';
import { scenarioPath } from './scenario/shipped.ts';

interface RunFlags extends TargetFlags {
  readonly label?: string;
  readonly seed?: number;
  readonly processes: number;
  readonly raw?: string;
  readonly threshold: readonly string[];
  readonly findMax?: string;
  readonly findFrom: number;
  readonly findTo: number;
  readonly findSeconds: number;
  readonly findPrecision: number;
  readonly cleanup: boolean;
  readonly cleanupTimeout: number;
  readonly removeLeftOvers: boolean;
}

const CLEANUP_SECONDS_MAX = 24 * 3600;

export function addRun(program: Command, world: CommandWorld): void {
  const collect = (value: string, before: readonly string[]) => [...before, value];
  const rate = numberBetween(0.001, LOAD_LIMITS.ratePerSecondMax);
  const command = withTarget(program.command('run'))
    .description('run a scenario, and say whether its thresholds held')
    .argument(
      '<scenario>',
      'a file, YAML or JSON, or the name of a scenario that comes with volant-load',
    )
    .option('--label <label>', 'of all that the run makes; random by default')
    .option('--seed <number>', 'of all that is chosen', numberBetween(0, 2 ** 53 - 1, true))
    .option(
      '--processes <count>',
      'generator processes',
      numberBetween(1, LOAD_LIMITS.processesMax, true),
      1,
    )
    .option(
      '--threshold <condition>',
      'one more threshold, such as "create.p99 < 200ms"',
      collect,
      [],
    )
    .option('--raw <file>', 'write a line for each operation, as CSV')
    .option('--find-max <condition>', 'search for the highest rate at which this holds')
    .option('--find-from <rate>', 'the first rate of the search, per second', rate, 10)
    .option('--find-to <rate>', 'the highest rate of the search, per second', rate, 10_000)
    .option('--find-seconds <seconds>', 'length of each try', numberBetween(1, 3600), 10)
    .option('--find-precision <percent>', 'of the rate that is found', numberBetween(0.1, 100), 5)
    .option('--no-cleanup', 'leave what the run made')
    .option(
      '--cleanup-timeout <seconds>',
      'how long the cleanup may take',
      numberBetween(1, CLEANUP_SECONDS_MAX),
      LOAD_LIMITS.cleanupSecondsDefault,
    )
    .option('--no-remove-left-overs', 'only report what earlier runs have left');
  withReports(command);
  command.action(async (file: string, flags: RunFlags & Record<string, unknown>) => {
    throw new PrintedResult(await run(file, flags, world));
  });
}

async function run(
  given: string,
  flags: RunFlags & Record<string, unknown>,
  world: CommandWorld,
): Promise<number> {
  const file = scenarioPath(given);
  const label = flags.label ?? newLabel();
  if (!LABEL_PATTERN.test(label)) {
    throw new UsageError('A label has 1 to 20 lower-case letters and digits');
  }
  const read = await readScenarioFile(file);
  const scenario = withThresholds(read, flags.threshold);
  const findMax = flags.findMax === undefined ? undefined : kneeOptions(flags, scenario);
  const target = targetOf(world, flags);
  world.onLabel(label);
  const report = await runLoad({
    target,
    scenario,
    scenarioFile: file,
    label,
    processes: flags.processes,
    cleanup: flags.cleanup,
    cleanupTimeoutMs: flags.cleanupTimeout * 1000,
    removeLeftOvers: flags.removeLeftOvers,
    observer: liveProgress(world.stderr),
    signal: world.signal,
    ...(flags.seed === undefined ? {} : { seed: flags.seed }),
    ...(flags.raw === undefined ? {} : { rawFile: flags.raw }),
    ...(findMax === undefined ? {} : { findMax }),
  });
  const isPrinted = await writeReports(report, flags, world.stdout);
  (isPrinted ? world.stderr : world.stdout).write(textReport(report));
  return EXIT_OF_VERDICT[report.verdict];
}

function withThresholds(scenario: Scenario, given: readonly string[]): Scenario {
  const more = given.map(
    (text): Threshold => ({
      condition: conditionOf('--threshold', text, scenario),
      abort: false,
      afterMs: 0,
    }),
  );
  return { ...scenario, thresholds: [...scenario.thresholds, ...more] };
}

function kneeOptions(flags: RunFlags, scenario: Scenario): KneeOptions {
  const condition = conditionOf('--find-max', flags.findMax ?? '', scenario);
  if (condition.phase !== undefined) {
    throw new UsageError(`--find-max ${condition.text}: a search has no phases of the scenario`);
  }
  if (flags.findFrom > flags.findTo) throw new UsageError('--find-from is above --find-to');
  return {
    condition,
    fromPerSecond: flags.findFrom,
    toPerSecond: flags.findTo,
    precision: flags.findPrecision / 100,
    trySeconds: flags.findSeconds,
  };
}

function conditionOf(option: string, text: string, scenario: Scenario): Condition {
  try {
    const condition = parseCondition(text);
    const problem = conditionProblem(condition, scenario);
    if (problem !== null) throw new ConditionError(problem);
    return condition;
  } catch (error) {
    if (!(error instanceof ConditionError)) throw error;
    throw new UsageError(`${option} ${text}: ${error.message}`);
  }
}

export function addCheck(program: Command, world: CommandWorld): void {
  program
    .command('check')
    .description('say what is wrong with a scenario, without a daemon')
    .argument('<scenario>', 'as for run')
    .action(async (given: string) => {
      const { name, phases, flows } = await readScenarioFile(scenarioPath(given));
      const counts = `${phases.length} phases, ${flows.length} operations`;
      world.stdout.write(`${name} can be used: ${counts}\n`);
    });
}
