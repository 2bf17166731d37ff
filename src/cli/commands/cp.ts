// cli, commands: `cp`: copies files and trees between this machine and a VM. The work is in copy/, which is loaded when it runs.

import type { Command } from 'commander';
import type { ShellMaker } from '../shell-maker.ts';

interface CopyFlags {
  readonly archive?: boolean;
  readonly followLink?: boolean;
  readonly quiet?: boolean;
}

const HELP = `
SOURCE and DESTINATION are VM:PATH, a local path, or "-": an archive (tar) on
standard input or output. One of them is in a VM. A local path that has a colon
is written ./a:b. A directory is copied with all that is in it: into a
directory that exists under its own name, otherwise as DESTINATION. SOURCE/.
means what is in the directory.`;

export function addCopy(program: Command, shells: ShellMaker): void {
  program
    .command('cp')
    .description('copy files and directories between this machine and a VM')
    .argument('<source>', 'VM:PATH, a path, or "-"')
    .argument('<destination>', 'VM:PATH, a path, or "-"')
    .option('--archive', 'keep the numbers of users and groups; short: -a behind cp')
    .option('-L, --follow-link', 'copy what SOURCE leads to if it is a link')
    .option('-q, --quiet', 'print nothing but errors')
    .addHelpText('after', HELP)
    .action(
      shells.action<CopyFlags>(async (shell, [source = '', destination = ''], flags) => {
        const { copy, sizeText } = await import('../copy/copy.ts');
        const tally = { entries: 0, bytes: 0, skipped: 0 };
        const work = copy(shell, source, destination, flags, tally);
        const detail = () => sizeText(tally.bytes);
        await (flags.quiet ? work : shell.progress(`Copying ${source}`, work, {}, detail));
        if (flags.quiet) return;
        if (tally.skipped > 0) {
          shell.note(`Left out: ${tally.skipped} that are neither files, directories nor links`);
        }
        if (destination === '-') return;
        const sentence = `Copied ${sizeText(tally.bytes)} to ${destination}`;
        shell.say({ source, destination, entries: tally.entries, bytes: tally.bytes }, sentence);
      }),
    );
}
