// cli, commands: `volar apply`.

import type { Command } from 'commander';
import type { ApplyFlags } from '../apply/apply-files.ts';
import { collect, parseDurationMs } from '../arguments.ts';
import type { ShellMaker } from '../shell-maker.ts';
import { followRollout } from './deployment-rollout.ts';

const WAIT_MS = 5 * 60_000;

export const FILE_HELP =
  'documents in YAML or JSON; "-" is standard input, a directory all its .yaml, .yml and .json files; repeatable';

export function addApply(program: Command, shells: ShellMaker): void {
  program
    .command('apply')
    .description('create or change VMs, deployments and plugins as files describe them')
    .requiredOption('-f, --file <file>', FILE_HELP, collect)
    .option('--dry-run', 'print what would be done, and do nothing')
    .option('--wait', 'wait until new VMs and deployments are ready')
    .option('--timeout <duration>', 'maximum wait for each', parseDurationMs, WAIT_MS)
    .option('--prune', 'delete what has the label of --selector and is not in the files')
    .option(
      '-l, --selector <key=value>',
      'a value in the metadata of a config or in the labels of a plugin; repeatable',
      collect,
    )
    .option('-y, --yes', 'delete without asking')
    .action(
      shells.action<ApplyFlags>(async (shell, _args, flags) => {
        // Loaded on use: other commands compare no documents.
        const { applyFiles } = await import('../apply/apply-files.ts');
        await applyFiles(shell, flags, followRollout);
      }),
    );
}
