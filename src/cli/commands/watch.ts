// cli, commands: `volar watch`: what changes below a directory of a VM, line by line, until Ctrl-C.

import type { Command } from 'commander';
import type { FileWatchEvent } from '../../client/types.ts';
import { parsePlace } from '../copy/places.ts';
import { PrintedFailure, UsageError } from '../exit.ts';
import type { Shell } from '../shell.ts';
import type { ShellMaker } from '../shell-maker.ts';

interface WatchFlags {
  readonly recursive?: true;
  readonly root?: string;
}

const HELP = `
Prints "created", "changed", "removed" or "moved" and the path; "/" ends that of
a directory. With volar's --json each line is an object. Ends when the directory
is gone, with status 0, or when nothing more can be seen, with status 1.`;

export function addWatch(program: Command, shells: ShellMaker): void {
  program
    .command('watch')
    .description('print what changes in a directory of a VM')
    .argument('<directory>', 'VM:PATH')
    .option('-r, --recursive', 'all directories below it, too')
    .option('--root <directory>', 'a directory of the VM where the path begins')
    .addHelpText('after', HELP)
    .action(shells.action<WatchFlags>(printChanges));
}

async function printChanges(
  shell: Shell,
  [written = '']: readonly string[],
  flags: WatchFlags,
): Promise<void> {
  const place = parsePlace(written);
  if (place.kind !== 'vm')
    throw new UsageError(`${written} is no directory of a VM: write VM:/PATH`);
  const directory = place.path.replace(/\/\.$/, '') || '/';
  for await (const event of shell.client.files.watch(place.vm, directory, flags)) {
    if (shell.json) shell.print(JSON.stringify(event));
    else printEvent(shell, event);
    if (event.type === 'end' && event.reason !== 'directory_gone') {
      throw new PrintedFailure(event.reason);
    }
  }
}

function printEvent(shell: Shell, event: FileWatchEvent): void {
  if (event.type === 'overflow') {
    shell.note('Changes were lost: what is there now must be looked up');
  } else if (event.type === 'end') {
    shell.note(`The watch has ended: ${event.reason.replaceAll('_', ' ')}`);
  } else {
    const mark = event.kind === 'directory' ? '/' : '';
    const from = event.from === undefined ? '' : `${plain(event.from)}${mark} -> `;
    shell.print(`${event.type.padEnd(7)}  ${from}${plain(event.path)}${mark}`);
  }
}

/** A name of a guest must not command the terminal. */
function plain(path: string): string {
  return path.replace(/\p{Cc}/gu, '\ufffd');
}
