// cli, commands: `volar diff`.

import type { Command } from 'commander';
import { collect } from '../arguments.ts';
import { PrintedFailure } from '../exit.ts';
import type { ShellMaker } from '../shell-maker.ts';
import { FILE_HELP } from './apply.ts';

export function addDiff(program: Command, shells: ShellMaker): void {
  program
    .command('diff')
    .description('print what apply would change, as a unified diff; change nothing')
    .requiredOption('-f, --file <file>', FILE_HELP, collect)
    .addHelpText('after', '\nExit status: 0 no difference, 1 differences, 2 error.')
    .action(
      shells.action<{ file: readonly string[] }>(async (shell, _args, { file }) => {
        const isColoured = shell.streams.stdout.isTTY === true && !shells.environment['NO_COLOR'];
        // Loaded on use: other commands compare no documents.
        const { diffFiles } = await import('../apply/diff-files.ts');
        const isDifferent = await diffFiles(shell, file, isColoured);
        if (isDifferent) throw new PrintedFailure('There are differences');
      }),
    );
}
