// home: what a daemon makes sure of before it is built: its directories are there and its own, and its records can be
// read. What is in the way is told in one sentence, with what to do.

import { type Config, LIMITS } from '../config.ts';
import { createLog, type Logger, type OpenLog } from '../lib/log.ts';
import { StartRefused } from '../lib/refusal.ts';
import { setStateAside } from '../store/copies.ts';
import { checkState } from '../store/integrity.ts';
import { openStore, type Store } from '../store/store.ts';
import {
  ensureDirectory,
  type Locks,
  lockDirectories,
  type NamedDirectory,
  unusable,
} from '../workers/directories.ts';
import { settleIdentity } from './identity.ts';
import { restoreState } from './restore.ts';

/** What a daemon is built on. */
export interface OpenHome {
  /** With what the store knows better. */
  readonly config: Config;
  readonly store: Store;
  readonly locks: Locks;
  readonly openLog: OpenLog;
}

/**
 * StartRefused for what a person must change first. With `adoptOrphans` damaged records are put aside, and VMs that the
 * records do not know are written down anew. Blocks: for starts only.
 */
export async function openHome(settings: Config, adoptOrphans: boolean): Promise<OpenHome> {
  const { own, others } = directoriesOf(settings);
  for (const directory of [...own, ...others]) ensureDirectory(directory);
  const locks = lockDirectories(own);
  const opened = openLog(settings);
  const { log } = opened;
  settleState(settings, adoptOrphans, log);
  const store = openStore(settings.statePath, log);
  const { homeId, hostTag } = await settleIdentity(store, settings, adoptOrphans, log);
  const config = { ...settings, homeId, hostTag };
  return { config, store, locks, openLog: opened };
}

/** `volantd --restore FILE`: see restore.ts. What was done, as sentences. StartRefused. */
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

/** `own`: no other daemon may use them. */
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
      lookMs: LIMITS.daemonLogLookMs,
    });
  } catch (error) {
    throw unusable('VOLANT_LOG_FILE', logFile ?? '', 'cannot be written to', error);
  }
}

function settleState({ statePath }: Config, adoptOrphans: boolean, log: Logger): void {
  const condition = checkState(statePath);
  if (condition.kind !== 'damaged') return;
  if (adoptOrphans) {
    const path = setStateAside(statePath, 'damaged', Date.now());
    log.warn({ why: condition.why, path }, 'the records are damaged: they were put aside');
    return;
  }
  throw new StartRefused(
    `the records in ${statePath} are damaged (${condition.why}): restore a backup with volantd --restore FILE, or make new ones of the VMs that run with volantd --adopt-orphans`,
  );
}
