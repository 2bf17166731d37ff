// store: records as older daemons wrote them, brought to their present shape. Pure.

import type { VmObserved, VmRecord, VmWanted } from '../engine/records.ts';

/** Format 1 had a status, and neither what was wanted nor what was seen. */
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

/** The record with the wish and the sight that give it the status that it has. */
export function vmOfPresentFormat(record: VmRecord | VmRecordOfFormat1): VmRecord {
  if ('wanted' in record) return record;
  const { status } = record;
  const isOwed = status === 'pending' || status === 'starting';
  const hasEnded = status === 'stopped' || status === 'crashed';
  const observed: VmObserved = {
    launch: isOwed ? 0 : 1,
    attempt: 1,
    end: hasEnded ? status : null,
    isReleased: hasEnded,
  };
  return { ...record, wanted: { state: WANTED[status], launch: 1 }, observed };
}
