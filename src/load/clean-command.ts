// load: `volant-load clean`: removes what runs have left.

import type { Command } from 'commander';
import type { VolantClient } from '../client/client.ts';
import {
  type CommandWorld,
  numberBetween,
  type TargetFlags,
  targetOf,
  withTarget,
} from './command-world.ts';
import { EXIT, PrintedResult, UsageError } from './exit-status.ts';
import { LOAD_LIMITS } from './load-limits.ts';
import { removeRun } from './owned/cleanup.ts';
import { LABEL_PATTERN } from './owned/labels.ts';
import { type FoundRun, findRuns } from './owned/left-runs.ts';
import { clientOf } from './run/target.ts';

interface CleanFlags extends TargetFlags {
  readonly label?: string;
  readonly allRuns?: true;
  readonly timeout: number;
}

const TIMEOUT_SECONDS_MAX = 24 * 3600;

export function addClean(program: Command, world: CommandWorld): void {
  withTarget(program.command('clean'))
    .description('remove the VMs and deployments that runs have left')
    .option('--label <label>', 'of one run')
    .option('--all-runs', 'of all runs that do not run any more')
    .option(
      '--timeout <seconds>',
      'how long this may take for each run',
      numberBetween(1, TIMEOUT_SECONDS_MAX),
      LOAD_LIMITS.cleanupSecondsDefault,
    )
    .action(async (flags: CleanFlags) => {
      throw new PrintedResult(await clean(flags, world));
    });
}

async function clean(flags: CleanFlags, world: CommandWorld): Promise<number> {
  const { label, allRuns } = flags;
  if ((label === undefined) === (allRuns === undefined)) {
    throw new UsageError('Give one of --label and --all-runs');
  }
  if (label !== undefined && !LABEL_PATTERN.test(label)) {
    throw new UsageError('A label has 1 to 20 lower-case letters and digits');
  }
  const client = clientOf(targetOf(world, flags));
  const runs = (await findRuns(client)).filter((run) => label === undefined || run.label === label);
  if (runs.length === 0) world.stdout.write('There is nothing to remove\n');
  let isClean = true;
  for (const run of runs) {
    if (world.signal.aborted) return EXIT.interrupted;
    isClean = (await cleanOne(client, run, flags, world)) && isClean;
  }
  return isClean ? EXIT.ok : EXIT.failed;
}

/** Resolves with whether nothing is left that may be removed. */
async function cleanOne(
  client: VolantClient,
  { label, state }: FoundRun,
  flags: CleanFlags,
  { stdout, stderr }: CommandWorld,
): Promise<boolean> {
  if (state === 'alive') {
    stderr.write(`The run ${label} is still running; end it, and it removes what it made\n`);
    return flags.allRuns === true;
  }
  const report = await removeRun(client, label, { timeoutMs: flags.timeout * 1000 });
  const { removedVms, removedDeployments, left, leftTotal } = report;
  stdout.write(`Run ${label}: removed ${removedVms} VMs, ${removedDeployments} deployments\n`);
  if (leftTotal === 0) return true;
  stderr.write(`Run ${label}: ${leftTotal} could not be removed\n`);
  for (const { kind, name, reason } of left) stderr.write(`  ${kind} ${name}: ${reason}\n`);
  return false;
}
