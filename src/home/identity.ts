// home: whether the records and the runtime directory belong together. The records have an id at random, and the runtime
// directory and each run directory in it have it, too. Records that were lost, copied or exchanged are noticed before
// anything is done to VMs that run.

import { randomBytes } from 'node:crypto';
import { existsSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config.ts';
import { hostTagOf } from '../engine/identity.ts';
import { writesOfCopy } from '../engine/rebuilt.ts';
import type { Write } from '../engine/store-ports.ts';
import type { Logger } from '../lib/log.ts';
import { StartRefused } from '../lib/refusal.ts';
import { dataFileOf } from '../store/env.ts';
import type { StateIdentity, Store } from '../store/store.ts';
import { type HomeNote, readHomeNote, writeHomeNote } from '../workers/home-note.ts';
import { readOwner } from '../workers/jobs/run-directory.ts';
import { findRemains, readDescription } from '../workers/remains.ts';
import { adoptionWrites } from './adoption.ts';
import { requireKnownRemains } from './remains.ts';

export type HomeSettings = Pick<
  Config,
  'statePath' | 'runtimeDirectory' | 'diskDirectory' | 'hostTag'
>;

/** What tells this home from others. */
export interface Identity {
  readonly homeId: string;
  readonly hostTag: string;
}

interface Sight {
  readonly settings: HomeSettings;
  readonly known: StateIdentity;
  readonly note: HomeNote | null;
  readonly adoptOrphans: boolean;
}

/**
 * Sees to it that records and runtime directory agree, and writes down whose they are. With `adoptOrphans` VMs that the
 * records do not know are written down anew. StartRefused where a person must decide.
 */
export async function settleIdentity(
  store: Store,
  settings: HomeSettings,
  adoptOrphans: boolean,
  log: Logger,
): Promise<Identity> {
  const note = readHomeNote(settings.runtimeDirectory);
  const sight: Sight = { settings, known: store.identity(), note, adoptOrphans };
  requireOwnDirectory(sight);
  if (!adoptOrphans) requireKnownRemains(settings, sight.known);
  const isCopy = wasCopied(sight);
  const identity = await identityOf(store, sight, isCopy);
  const writes: Write[] = [
    ...(isCopy ? writesOfCopy(store.load(), identity.hostTag) : []),
    ...(adoptOrphans ? adoptionWrites(store, settings, log) : []),
    { table: 'meta', key: 'hostTag', value: identity.hostTag },
    { table: 'meta', key: 'homeId', value: identity.homeId },
    { table: 'meta', key: 'runtimeDirectory', value: realpathSync(settings.runtimeDirectory) },
  ];
  if (isCopy) log.warn({ ...identity }, 'these records are a copy: their VMs run elsewhere');
  if (adoptOrphans || isCopy || isNews(sight, identity)) await store.commit(writes, []);
  writeHomeNote(settings.runtimeDirectory, { ...identity, statePath: realStatePath(settings) });
  return identity;
}

async function identityOf(
  store: Store,
  { settings, known, note, adoptOrphans }: Sight,
  isCopy: boolean,
): Promise<Identity> {
  if (isCopy) return { homeId: newHomeId(), hostTag: randomBytes(2).toString('hex') };
  const left = adoptOrphans && !known.hasVms ? (note ?? identityLeftIn(settings)) : null;
  if (left !== null) return { homeId: left.homeId, hostTag: left.hostTag };
  const hostTag = await store.hostTag(settings.hostTag);
  return { homeId: known.homeId ?? note?.homeId ?? newHomeId(), hostTag };
}

/** Of VMs that run: their own run directories say whose they are, and their taps have the tag. */
function identityLeftIn(settings: HomeSettings): Identity | null {
  const { runtimeDirectory } = settings;
  for (const { vmId, process } of findRemains(settings)) {
    const homeId = process && readOwner(join(runtimeDirectory, String(vmId)));
    const tapName = homeId && readDescription(runtimeDirectory, vmId)?.record.leases.tapName;
    if (homeId && tapName) return { homeId, hostTag: hostTagOf(tapName) };
  }
  return null;
}

function newHomeId(): string {
  return randomBytes(16).toString('hex');
}

function isNews({ settings, known }: Sight, { homeId }: Identity): boolean {
  return (
    known.homeId !== homeId || known.runtimeDirectory !== realpathSync(settings.runtimeDirectory)
  );
}

/** What runs in the runtime directory is not to be touched by records that do not belong to it. */
function requireOwnDirectory({ settings, known, note, adoptOrphans }: Sight): void {
  if (note === null) return;
  const { statePath, runtimeDirectory } = settings;
  if (known.isNew && !adoptOrphans) {
    throw new StartRefused(
      `there are no records in ${statePath}, but a volantd has run VMs in ${runtimeDirectory}: restore a backup with volantd --restore FILE, make new records of the VMs that are there with volantd --adopt-orphans, or delete ${runtimeDirectory}/home.json to begin with nothing`,
    );
  }
  const isOther = known.homeId !== null && known.homeId !== note.homeId;
  if (isOther && !(adoptOrphans && !known.hasVms)) {
    throw new StartRefused(
      `${runtimeDirectory} belongs to other records than those in ${statePath}: choose another VOLANT_RUNTIME_DIR, or put the right records there`,
    );
  }
  if (known.homeId === note.homeId && isElsewhere(settings, note)) {
    throw new StartRefused(
      `${runtimeDirectory} belongs to the records in ${note.statePath}, of which those in ${statePath} are a copy: choose another VOLANT_RUNTIME_DIR`,
    );
  }
}

/** The records were made beside others that are still there, with a runtime directory of their own. */
function wasCopied({ settings, known, note }: Sight): boolean {
  const { homeId, runtimeDirectory } = known;
  if (note !== null || homeId === null || runtimeDirectory === null) return false;
  const original = readHomeNote(runtimeDirectory);
  return original?.homeId === homeId && isElsewhere(settings, original);
}

/** The records that a note names are other ones than ours, and are there. */
function isElsewhere(settings: HomeSettings, { statePath }: HomeNote): boolean {
  return statePath !== realStatePath(settings) && existsSync(dataFileOf(statePath));
}

function realStatePath({ statePath }: HomeSettings): string {
  return realpathSync(statePath);
}
