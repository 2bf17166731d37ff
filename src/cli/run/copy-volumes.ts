// cli, run: copies what -v names into the guest, as `volar cp` does, so that PATH becomes what FILE is.

import { posix, resolve } from 'node:path';
import { copy, sizeText } from '../copy/copy.ts';
import { kindOf } from '../copy/local-reader.ts';
import { UsageError } from '../exit.ts';
import type { Shell } from '../shell.ts';
import { withProgress } from '../terminal/progress.ts';
import type { Volume } from './run-request.ts';

/** A link is what it leads to; owners, modes and times are kept. */
const OPTIONS = { archive: true, followLink: true };

/** Throws UsageError for a source that is not there, before anything is made. */
export async function requireSources(volumes: readonly Volume[]): Promise<void> {
  for (const { source } of volumes) {
    if (kindOf(source, true) === 'absent') {
      throw new UsageError(`${source} does not exist`);
    }
  }
}

/** One after the other, in the order of the command line. Missing directories are made. */
export async function copyVolumes(
  shell: Shell,
  vm: string,
  volumes: readonly Volume[],
): Promise<void> {
  for (const volume of volumes) {
    const tally = { entries: 0, bytes: 0, skipped: 0 };
    const work = copyOne(shell, vm, volume, tally);
    const detail = () => sizeText(tally.bytes);
    await withProgress(shell.streams.stderr, `Copying ${volume.source}`, work, undefined, detail);
    if (tally.skipped === 0) continue;
    shell.note(
      `${volume.source}: left out ${tally.skipped} that are neither files, directories nor links`,
    );
  }
}

async function copyOne(
  shell: Shell,
  vm: string,
  { source, target, isDirectory }: Volume,
  tally: { entries: number; bytes: number; skipped: number },
): Promise<void> {
  const isTree = kindOf(source, true) === 'directory';
  const directory = isTree || isDirectory ? target : posix.dirname(target);
  if (directory !== '/') {
    await shell.client.files.makeDirectory(vm, directory, { parents: true });
  }
  // An absolute path is never taken for one in a VM. What is in a directory is copied, not the directory into one that is there.
  const from = isTree ? `${resolve(source)}/.` : resolve(source);
  await copy(shell, from, `${vm}:${target}${isDirectory ? '/' : ''}`, OPTIONS, tally);
}
