// store: converts records of older formats to their current form. Pure. When they are converted is decided in
// formats.ts.

import type { VmObserved, VmRecord, VmWanted } from '../engine/records.ts';

/**
 * Formats 1 to 3 had no summaries, which are made from the records. Format 1 had a status, but neither the wanted nor
 * the observed state.
 */
export type VmRecordOfFormat1 = Omit<VmRecord, 'wanted' | 'observed'>;

const WANTED: Readonly<Record<VmRecord['status'], VmWanted['state']>> = {
  pending: 'running',
  starting: 'running',
  running: 'running',
  crashed: 'running',
  stopping: 'stopped',
  stopped: 'stopped',
  deleting: 'deleted',
};

/** Adds the wanted and the observed state from which the record's status follows. */
export function vmOfPresentFormat(record: VmRecord | VmRecordOfFormat1): VmRecord {
  if ('wanted' in record) return record;
  const { status } = record;
  const needsLaunch = status === 'pending' || status === 'starting';
  const hasEnded = status === 'stopped' || status === 'crashed';
  const observed: VmObserved = {
    launch: needsLaunch ? 0 : 1,
    attempt: 1,
    end: hasEnded ? status : null,
    isReleased: hasEnded,
  };
  return { ...record, wanted: { state: WANTED[status], launch: 1 }, observed };
}
