// home: puts a backup in the place of the records. What was there is kept, and what runs is adopted.

import { copyFileSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import type { Config } from '../config.ts';
import type { Logger } from '../lib/log.ts';
import { StartRefused } from '../lib/refusal.ts';
import { setStateAside, syncPath } from '../store/copies.ts';
import { dataFileOf } from '../store/env.ts';
import { factsOf } from '../store/facts.ts';
import { checkState } from '../store/integrity.ts';
import { openStore } from '../store/store.ts';
import { STORE_VERSION } from '../store/tables.ts';
import { readHomeNote, removeHomeNote } from '../workers/home-note.ts';
import { findRemains } from '../workers/remains.ts';
import { settleIdentity } from './identity.ts';

/**
 * Makes the records of a home those of a backup. The caller has the home's locks. VMs that run and that the backup does
 * not know, or knows by an older launch, are written down. StartRefused, with everything as it was, for a file that is no
 * backup and for a home in which VMs of another one run. What was done, as sentences.
 */
export async function restoreState(
  settings: Config,
  file: string,
  log: Logger,
): Promise<readonly string[]> {
  const { statePath } = settings;
  const fresh = `${statePath}.restoring`;
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh, { mode: 0o700 });
  try {
    copyIn(file, fresh);
    const homeId = await requireBackup(file, fresh);
    requireNoStrangers(settings, homeId);
    const aside = existsSync(dataFileOf(statePath))
      ? setStateAside(statePath, 'replaced', Date.now())
      : null;
    renameSync(dataFileOf(fresh), dataFileOf(statePath));
    syncPath(statePath);
    const store = openStore(statePath, log);
    await settleIdentity(store, settings, true, log);
    const count = store.load().vms.length;
    await store.close();
    return [
      `The records in ${statePath} are those of ${file}, with ${count} VMs.`,
      ...(aside === null ? [] : [`Those that were there are in ${aside}.`]),
    ];
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

function copyIn(file: string, directory: string): void {
  try {
    copyFileSync(file, dataFileOf(directory));
  } catch (error) {
    throw new StartRefused(
      `${file} cannot be copied: ${error instanceof Error ? error.message : error}`,
      { cause: error },
    );
  }
  for (const path of [dataFileOf(directory), directory]) syncPath(path);
}

/** The id of the home that it is of; null when it is older than such ids. */
async function requireBackup(file: string, directory: string): Promise<string | null> {
  const condition = checkState(directory);
  if (condition.kind !== 'whole') {
    const why = condition.kind === 'damaged' ? condition.why : 'it is empty';
    throw new StartRefused(`${file} is no backup, or is damaged (${why})`);
  }
  const { version, homeId } = await factsOf(directory);
  if (version === null) throw new StartRefused(`${file} is no backup of a volantd`);
  if (version > STORE_VERSION) {
    throw new StartRefused(
      `${file} was written by a newer volantd (format ${version}, this one knows ${STORE_VERSION})`,
    );
  }
  return homeId;
}

/** A home that is new may have a note of its own; what runs in it must be the backup's. */
function requireNoStrangers(settings: Config, homeId: string | null): void {
  const { runtimeDirectory } = settings;
  const note = readHomeNote(runtimeDirectory);
  if (note === null || homeId === null || note.homeId === homeId) return;
  if (findRemains(settings).some(({ process }) => process !== null)) {
    throw new StartRefused(
      `VMs of another home run in ${runtimeDirectory}: delete them, or restore into a home of its own`,
    );
  }
  removeHomeNote(runtimeDirectory);
}
