// host, start: the file in the runtime directory that says which home and state it belongs to. The file outlives the
// records, so it shows when a state was lost, copied or exchanged. Only for the start of the daemon: everything here
// blocks.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { RUN_FILES } from '../../engine/ports/hypervisor-ports.ts';
import { readJson, replaceFile, syncDirectory } from '../jobs/durable.ts';
import { readOwner } from '../jobs/process/run-directory.ts';

/** The content of the file. */
export interface HomeFile {
  readonly homeId: string;
  readonly hostTag: string;
  /** The path of the records that belong to what runs here. */
  readonly statePath: string;
}

const NAME = 'home.json';

/** Reads the file. null: there is none. Throws for a file that no daemon wrote. */
export function readHomeFile(runtimeDirectory: string): HomeFile | null {
  const found = readJson(join(runtimeDirectory, NAME)) as Partial<HomeFile> | null;
  if (found === null) return null;
  const { homeId, hostTag, statePath } = found;
  if (!homeId || !hostTag || !statePath) {
    throw new Error(`${join(runtimeDirectory, NAME)} was not written by volantd`);
  }
  return { homeId, hostTag, statePath };
}

/**
 * Writes the file durably, unless it has this content already. The name of the home is also in a file of its own:
 * each run directory has a hard link to that file.
 */
export function writeHomeFile(runtimeDirectory: string, homeFile: HomeFile): void {
  const path = join(runtimeDirectory, NAME);
  const text = `${JSON.stringify(homeFile)}\n`;
  const hasName = readOwner(runtimeDirectory) === homeFile.homeId;
  if (hasName && JSON.stringify(readJson(path)) === text.trim()) return;
  replaceFile(join(runtimeDirectory, RUN_FILES.homeId), homeFile.homeId);
  replaceFile(path, text);
  syncDirectory(runtimeDirectory);
}

/** Removes both files, when the host is to be left clean. */
export function removeHomeFile(runtimeDirectory: string): void {
  for (const name of [NAME, RUN_FILES.homeId]) {
    rmSync(join(runtimeDirectory, name), { force: true });
  }
}
