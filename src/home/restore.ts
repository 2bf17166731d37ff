// home: replaces the records by a backup. The old records are kept beside it, and running VMs are adopted.

import { copyFileSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import type { Config } from '../config.ts';
import { readHomeFile, removeHomeFile } from '../host/start/home-file.ts';
import { findLeftovers } from '../host/start/vm-leftovers.ts';
import type { Logger } from '../lib/log/log.ts';
import { StartRefused } from '../lib/refusal.ts';
import { setStateAside, syncPath } from '../store/copies.ts';
import { dataFileOf } from '../store/env.ts';
import { factsOf } from '../store/facts.ts';
import { checkRecords, checkState } from '../store/integrity.ts';
import { openStore } from '../store/store.ts';
import { STORE_VERSION } from '../store/tables.ts';
import { settleIdentity } from './identity.ts';

/**
 * Replaces the records. The caller holds the home's locks. VMs that run and that the backup does not contain, or
 * knows by an older launch, are recorded. Throws StartRefused, without any change, for a file that is not a backup
 * and for a home in which VMs of another home run. Returns what was done, as sentences.
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
    const count = store.vmCount();
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

/** A restore is never cancelled. */
const NEVER = new AbortController().signal;

/** Checks a backup. Returns the id of its home; null when it is older than these ids. */
async function requireBackup(file: string, directory: string): Promise<string | null> {
  const pages = await checkState(directory);
  const condition = pages.kind === 'whole' ? await checkRecords(directory, NEVER) : pages;
  if (condition.kind !== 'whole') {
    const why = condition.kind === 'damaged' ? condition.why : 'it is empty';
    throw new StartRefused(`${file} is not a backup, or is damaged (${why})`);
  }
  const { version, homeId } = await factsOf(directory);
  if (version === null) throw new StartRefused(`${file} is not a backup of volantd`);
  if (version > STORE_VERSION) {
    throw new StartRefused(
      `${file} was written by a newer volantd (format ${version}, this one knows ${STORE_VERSION})`,
    );
  }
  return homeId;
}

/** A new home may have a home file of its own. VMs that run in it must belong to the backup's home. */
function requireNoStrangers(settings: Config, homeId: string | null): void {
  const { runtimeDirectory } = settings;
  const homeFile = readHomeFile(runtimeDirectory);
  if (homeFile === null || homeId === null || homeFile.homeId === homeId) return;
  if (findLeftovers(settings).some(({ process }) => process !== null)) {
    throw new StartRefused(
      `VMs of another home run in ${runtimeDirectory}: delete them, or restore into a home of its own`,
    );
  }
  removeHomeFile(runtimeDirectory);
}
