// home: checks that the records and the runtime directory belong together. The records have a random id, which the
// runtime directory and each run directory have, too. So records that were lost, copied or exchanged are noticed
// before running VMs are touched.

import { randomBytes } from 'node:crypto';
import { existsSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import type { Write } from '../engine/ports/store-ports.ts';
import { writesOfCopy } from '../engine/state/rebuilt.ts';
import { hostTagOf } from '../engine/vm-record/derived-names.ts';
import { readOwner } from '../host/jobs/process/run-directory.ts';
import { type HomeFile, readHomeFile, writeHomeFile } from '../host/start/home-file.ts';
import { findLeftovers, readDescription } from '../host/start/vm-leftovers.ts';
import type { Logger } from '../lib/log/log.ts';
import { StartRefused } from '../lib/refusal.ts';
import { dataFileOf } from '../store/env.ts';
import type { StateIdentity, Store } from '../store/store.ts';
import { adoptionWrites } from './adoption.ts';
import type { HomeSettings } from './home-settings.ts';
import { requireKnownVms } from './unknown-vms.ts';

/** What distinguishes this home from others. */
export interface Identity {
  readonly homeId: string;
  readonly hostTag: string;
}

interface RuntimeFacts {
  readonly settings: HomeSettings;
  readonly known: StateIdentity;
  readonly homeFile: HomeFile | null;
  readonly adoptOrphans: boolean;
}

/**
 * Makes records and runtime directory agree, and records their identity in both. With `adoptOrphans` VMs that the
 * records do not contain are recorded. Throws StartRefused when a person must decide.
 */
export async function settleIdentity(
  store: Store,
  settings: HomeSettings,
  adoptOrphans: boolean,
  log: Logger,
): Promise<Identity> {
  const homeFile = readHomeFile(settings.runtimeDirectory);
  const sight: RuntimeFacts = { settings, known: store.identity(), homeFile, adoptOrphans };
  requireOwnDirectory(sight);
  if (!adoptOrphans) requireKnownVms(settings, sight.known);
  const isCopy = wasCopied(sight);
  const identity = await identityOf(store, sight, isCopy);
  const writes: Write[] = [
    ...(isCopy ? writesOfCopy(store.allVms(), store.load(), identity.hostTag) : []),
    ...(adoptOrphans ? adoptionWrites(store, settings, log) : []),
    { table: 'meta', key: 'hostTag', value: identity.hostTag },
    { table: 'meta', key: 'homeId', value: identity.homeId },
    { table: 'meta', key: 'runtimeDirectory', value: realpathSync(settings.runtimeDirectory) },
  ];
  if (isCopy) log.warn({ ...identity }, 'these records are a copy: their VMs run elsewhere');
  if (adoptOrphans || isCopy || isChanged(sight, identity)) await store.commit(writes, []);
  writeHomeFile(settings.runtimeDirectory, { ...identity, statePath: realStatePath(settings) });
  return identity;
}

async function identityOf(
  store: Store,
  { settings, known, homeFile, adoptOrphans }: RuntimeFacts,
  isCopy: boolean,
): Promise<Identity> {
  if (isCopy) return { homeId: newHomeId(), hostTag: randomBytes(2).toString('hex') };
  const left = adoptOrphans && !known.hasVms ? (homeFile ?? identityLeftIn(settings)) : null;
  if (left !== null) return { homeId: left.homeId, hostTag: left.hostTag };
  const hostTag = await store.hostTag(settings.hostTag);
  return { homeId: known.homeId ?? homeFile?.homeId ?? newHomeId(), hostTag };
}

/** Finds the identity of running VMs: their run directories have the home id, and their taps the host tag. */
function identityLeftIn(settings: HomeSettings): Identity | null {
  const { runtimeDirectory } = settings;
  for (const { vmId, process } of findLeftovers(settings)) {
    const homeId = process && readOwner(join(runtimeDirectory, String(vmId)));
    const tapName = homeId && readDescription(runtimeDirectory, vmId)?.record.leases.tapName;
    if (homeId && tapName) return { homeId, hostTag: hostTagOf(tapName) };
  }
  return null;
}

function newHomeId(): string {
  return randomBytes(16).toString('hex');
}

function isChanged({ settings, known }: RuntimeFacts, { homeId }: Identity): boolean {
  return (
    known.homeId !== homeId || known.runtimeDirectory !== realpathSync(settings.runtimeDirectory)
  );
}

/** What runs in the runtime directory is not to be touched by records that do not belong to it. */
function requireOwnDirectory({ settings, known, homeFile, adoptOrphans }: RuntimeFacts): void {
  if (homeFile === null) return;
  const { statePath, runtimeDirectory } = settings;
  if (known.isNew && !adoptOrphans) {
    throw new StartRefused(
      `there are no records in ${statePath}, but volantd has run VMs in ${runtimeDirectory}: restore a backup with volantd --restore FILE, make new records of the VMs that are there with volantd --adopt-orphans, or delete ${runtimeDirectory}/home.json to start empty`,
    );
  }
  const isOther = known.homeId !== null && known.homeId !== homeFile.homeId;
  if (isOther && !(adoptOrphans && !known.hasVms)) {
    throw new StartRefused(
      `${runtimeDirectory} belongs to other records than those in ${statePath}: choose another VOLANT_RUNTIME_DIR, or put the right records there`,
    );
  }
  if (known.homeId === homeFile.homeId && isElsewhere(settings, homeFile)) {
    throw new StartRefused(
      `${runtimeDirectory} belongs to the records in ${homeFile.statePath}, of which those in ${statePath} are a copy: choose another VOLANT_RUNTIME_DIR`,
    );
  }
}

/** The records were made beside others that are still there, with a runtime directory of their own. */
function wasCopied({ settings, known, homeFile }: RuntimeFacts): boolean {
  const { homeId, runtimeDirectory } = known;
  if (homeFile !== null || homeId === null || runtimeDirectory === null) return false;
  const original = readHomeFile(runtimeDirectory);
  return original?.homeId === homeId && isElsewhere(settings, original);
}

/** Whether the home file names other records than these, which exist. */
function isElsewhere(settings: HomeSettings, { statePath }: HomeFile): boolean {
  return statePath !== realStatePath(settings) && existsSync(dataFileOf(statePath));
}

function realStatePath({ statePath }: HomeSettings): string {
  return realpathSync(statePath);
}
