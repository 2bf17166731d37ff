// home: checks and prepares what a daemon needs before its parts are built: its directories exist and are its own,
// and its records can be read. Each problem is reported in one sentence, with a remedy.

import { LIMITS } from '../config/limits.ts';
import type { Config } from '../config.ts';
import {
  ensureDirectory,
  type Locks,
  lockDirectories,
  type NamedDirectory,
  unusable,
} from '../host/start/directories.ts';
import { createLog, type Logger, type OpenLog } from '../lib/log/log.ts';
import { StartRefused } from '../lib/refusal.ts';
import { setStateAside } from '../store/copies.ts';
import { checkState } from '../store/integrity.ts';
import { StartRows } from '../store/start-rows.ts';
import { openStore, type Store } from '../store/store.ts';
import { settleIdentity } from './identity.ts';
import { restoreState } from './restore.ts';

/** What the daemon's parts are built from. */
export interface OpenHome {
  /** The settings, with the host tag and the home id from the store. */
  readonly config: Config;
  readonly store: Store;
  readonly locks: Locks;
  readonly openLog: OpenLog;
}

/**
 * Opens the home. Throws StartRefused for what a person must change first. With `adoptOrphans` damaged records are
 * moved away, and VMs that the records do not contain are recorded. Blocks: only for the start of the daemon.
 */
export async function openHome(settings: Config, adoptOrphans: boolean): Promise<OpenHome> {
  const { own, others } = directoriesOf(settings);
  for (const directory of [...own, ...others]) ensureDirectory(directory);
  const locks = lockDirectories(own);
  const opened = openLog(settings);
  const { log } = opened;
  const rows = await settleState(settings, adoptOrphans, log);
  const store = openStore(settings.statePath, log, LIMITS.eventsStoredMax, rows);
  const { homeId, hostTag } = await settleIdentity(store, settings, adoptOrphans, log);
  const config = { ...settings, homeId, hostTag };
  return { config, store, locks, openLog: opened };
}

/** Implements `volantd --restore FILE`; see restore.ts. Returns what was done, as sentences. Throws StartRefused. */
export async function restoreHome(settings: Config, file: string): Promise<readonly string[]> {
  const { own } = directoriesOf(settings);
  for (const directory of own) ensureDirectory(directory);
  const locks = lockDirectories(own);
  const { log, close } = openLog(settings);
  try {
    return await restoreState(settings, file, log);
  } finally {
    await close(LIMITS.daemonLogEndMs);
    locks.release();
  }
}

/** `own`: directories that no other daemon may use. */
function directoriesOf(settings: Config): {
  readonly own: readonly NamedDirectory[];
  readonly others: readonly NamedDirectory[];
} {
  const { home, statePath, runtimeDirectory, diskDirectory, cacheDirectory } = settings;
  return {
    own: [
      { setting: 'VOLANT_HOME', path: home },
      { setting: 'VOLANT_DB_PATH', path: statePath },
      { setting: 'VOLANT_RUNTIME_DIR', path: runtimeDirectory },
      { setting: 'VOLANT_DISK_DIR', path: diskDirectory },
      { setting: 'VOLANT_MEDIA_CACHE_DIR', path: cacheDirectory },
    ],
    others: [{ setting: 'VOLANT_LOG_DIR', path: settings.logDirectory }],
  };
}

function openLog({ logLevel, logFile }: Config): OpenLog {
  try {
    return createLog({
      level: logLevel,
      file: logFile,
      fileBytesMax: LIMITS.daemonLogBytesMax,
      queueCharactersMax: LIMITS.daemonLogQueueCharacters,
      retryMs: LIMITS.daemonLogRetryMs,
      checkMs: LIMITS.daemonLogCheckMs,
    });
  } catch (error) {
    throw unusable('VOLANT_LOG_FILE', logFile ?? '', 'cannot be written to', error);
  }
}

/** Returns what was read of the state; null if there is none. */
async function settleState(
  { statePath }: Config,
  adoptOrphans: boolean,
  log: Logger,
): Promise<StartRows | null> {
  const rows = new StartRows();
  const condition = await checkState(statePath, rows.note);
  if (condition.kind !== 'damaged') return rows;
  if (adoptOrphans) {
    const path = setStateAside(statePath, 'damaged', Date.now());
    log.warn({ why: condition.why, path }, 'the records are damaged: they were moved away');
    return null;
  }
  throw new StartRefused(
    `the records in ${statePath} are damaged (${condition.why}): restore a backup with volantd --restore FILE, or make new ones of the VMs that run with volantd --adopt-orphans`,
  );
}
