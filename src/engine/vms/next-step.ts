// engine, vms: the next thing to do for a VM. Create, start, stop, restart, delete, crash, undo, and what an earlier
// daemon did not bring to its end are cases of this one function. Pure.

import type { VmRecord } from '../records.ts';
import { owesLaunch } from './status.ts';

/** What this daemon knows of a VM beside its record. */
export interface Sight {
  /** Of the hypervisor. `unknown`: this daemon has not looked at the host yet. */
  readonly process: 'unknown' | 'alive' | 'gone';
  /** Nothing is left on the host of what a launch makes there, files excepted. */
  readonly isReleased: boolean;
  /** The last try to release it went wrong. */
  readonly releaseFailed: boolean;
  /** The launch that is wanted went wrong, or was given up. */
  readonly launchFailed: boolean;
}

/**
 * look: find out what the host has. launch: make everything and the process. noteRunning: write down that it runs.
 * end: end the process. noteEnd: write down an end that nobody asked for. release: give back what the host has.
 * noteReleased: write down that nothing is left. noteFailure: write down that the launch is given up. forget: remove
 * files and record.
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

/** null: what is wanted is what is. */
export function nextStep(record: VmRecord, sight: Sight): StepName | null {
  if (sight.process === 'unknown') return 'look';
  return sight.process === 'alive' ? whileAlive(record, sight) : whileGone(record, sight);
}

function whileAlive(record: VmRecord, { launchFailed }: Sight): StepName | null {
  const { wanted, observed, process } = record;
  const isNew = process === null && observed.launch < wanted.launch;
  // A launch that went through while a stop came has run: it is not undone, but ended.
  if (isNew && !launchFailed && wanted.state !== 'deleted') return 'noteRunning';
  const isWanted =
    process !== null && wanted.state === 'running' && observed.launch === wanted.launch;
  return isWanted ? null : 'end';
}

function whileGone(record: VmRecord, sight: Sight): StepName | null {
  const { wanted, observed, neverRan } = record;
  const isOwed = owesLaunch(record);
  const isFailed = isOwed && sight.launchFailed;
  const endedByItself = record.process !== null && wanted.state === 'running' && !isOwed;
  // An end is told when nothing is left of it, but a host that does not let go delays the news by one try only.
  if (endedByItself && (sight.isReleased || sight.releaseFailed)) return 'noteEnd';
  if (!sight.isReleased) return 'release';
  // What never ran is undone, not kept.
  if (wanted.state === 'deleted' || (neverRan && (isFailed || !isOwed))) return 'forget';
  if (isFailed) return 'noteFailure';
  if (record.process !== null) return 'noteReleased';
  if (isOwed) return 'launch';
  return observed.isReleased ? null : 'noteReleased';
}
