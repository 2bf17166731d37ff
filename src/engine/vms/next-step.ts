// engine, vms: the next step for a VM. Create, start, stop, restart, delete, crash, undo, and work that an earlier
// daemon left unfinished are all cases of this one function. How a step is taken is in steps.ts. Pure.

import type { VmRecord } from '../records.ts';
import { needsLaunch } from '../vm-record/status.ts';

/** What this run of the daemon knows of a VM beside its record. */
export interface RuntimeFacts {
  /** State of the hypervisor. `unknown`: this daemon has not inspected the host yet. */
  readonly process: 'unknown' | 'alive' | 'gone';
  /** Everything that a launch makes on the host is gone, except for files. */
  readonly isReleased: boolean;
  /** The last attempt to release it failed. */
  readonly releaseFailed: boolean;
  /** The wanted launch failed or was given up. */
  readonly launchFailed: boolean;
}

/**
 * look: inspect what the host has. launch: make everything, then the process. noteRunning: record that it runs. end:
 * end the process. noteEnd: record an end that nobody asked for. release: release what the host has. noteReleased:
 * record that nothing is left. noteFailure: record that the launch was given up. forget: remove files and record.
 */
export type StepName =
  | 'look'
  | 'launch'
  | 'noteRunning'
  | 'end'
  | 'noteEnd'
  | 'release'
  | 'noteReleased'
  | 'noteFailure'
  | 'forget';

/** The next step; null if the observed state is the wanted state. */
export function nextStep(record: VmRecord, facts: RuntimeFacts): StepName | null {
  if (facts.process === 'unknown') return 'look';
  return facts.process === 'alive' ? whileAlive(record, facts) : whileGone(record, facts);
}

function whileAlive(record: VmRecord, { launchFailed }: RuntimeFacts): StepName | null {
  const { wanted, observed, process } = record;
  const isNew = process === null && observed.launch < wanted.launch;
  // A launch that succeeded while a stop arrived has run, so it is ended, not undone.
  if (isNew && !launchFailed && wanted.state !== 'deleted') return 'noteRunning';
  const isWanted =
    process !== null && wanted.state === 'running' && observed.launch === wanted.launch;
  return isWanted ? null : 'end';
}

function whileGone(record: VmRecord, facts: RuntimeFacts): StepName | null {
  const { wanted, observed, neverRan } = record;
  const isLaunchNeeded = needsLaunch(record);
  const isFailed = isLaunchNeeded && facts.launchFailed;
  const endedByItself = record.process !== null && wanted.state === 'running' && !isLaunchNeeded;
  // An end is recorded after everything is released. If the release fails, it is recorded after the first attempt.
  if (endedByItself && (facts.isReleased || facts.releaseFailed)) return 'noteEnd';
  if (!facts.isReleased) return 'release';
  // A VM that never ran is undone, not kept.
  if (wanted.state === 'deleted' || (neverRan && (isFailed || !isLaunchNeeded))) return 'forget';
  if (isFailed) return 'noteFailure';
  if (record.process !== null) return 'noteReleased';
  if (isLaunchNeeded) return 'launch';
  return observed.isReleased ? null : 'noteReleased';
}
