// workers: whose runtime directory it is. The note outlives the records: a state that was lost, copied or exchanged does
// not fit to it any more. For starts only: everything blocks.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { RUN_FILES } from '../engine/ports.ts';
import { readJson, replaceFile, syncDirectory } from './jobs/durable.ts';
import { readOwner } from './jobs/run-directory.ts';

export interface HomeNote {
  readonly homeId: string;
  readonly hostTag: string;
  /** Where the records are that belong to what runs here. */
  readonly statePath: string;
}

const NAME = 'home.json';

/** null where no daemon has left one. Throws for a file that is something else. */
export function readHomeNote(runtimeDirectory: string): HomeNote | null {
  const found = readJson(join(runtimeDirectory, NAME)) as Partial<HomeNote> | null;
  if (found === null) return null;
  const { homeId, hostTag, statePath } = found;
  if (!homeId || !hostTag || !statePath) {
    throw new Error(`${join(runtimeDirectory, NAME)} is not what a volantd wrote`);
  }
  return { homeId, hostTag, statePath };
}

/**
 * On disk when it returns. Nothing is written when the note says so already. The name of the home stands in a file of its
 * own beside it: each run directory has a link to that.
 */
export function writeHomeNote(runtimeDirectory: string, note: HomeNote): void {
  const path = join(runtimeDirectory, NAME);
  const text = `${JSON.stringify(note)}\n`;
  const hasName = readOwner(runtimeDirectory) === note.homeId;
  if (hasName && JSON.stringify(readJson(path)) === text.trim()) return;
  replaceFile(join(runtimeDirectory, RUN_FILES.homeId), note.homeId);
  replaceFile(path, text);
  syncDirectory(runtimeDirectory);
}

/** For a host that is to be left clean. */
export function removeHomeNote(runtimeDirectory: string): void {
  for (const name of [NAME, RUN_FILES.homeId]) {
    rmSync(join(runtimeDirectory, name), { force: true });
  }
}
