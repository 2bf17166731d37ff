// store: summaries of VMs: what a start of the daemon needs of each VM, in small rows that are read a hundred times
// as fast as records. A row is written with its record in the same transaction, and contains nothing else. Pure.

import type { Deadline, VmRecord, VmSummary } from '../engine/records.ts';

/** An array is smaller than an object and faster to read. */
export type SummaryRow = readonly [
  name: string,
  status: VmSummary['status'],
  plugin: string,
  runtime: string,
  ipAddress: string | null,
  updatedAtMs: number,
  deployment: string | null,
  wantedState: VmSummary['wantedState'],
  flags: number,
  /** Absent without a deadline, and in rows of earlier versions. */
  deadline?: Deadline,
];

const HAS_TAP = 1;
const NEEDS_LAUNCH = 2;
const IS_RELEASED = 4;
const HAS_PROCESS = 8;

/** Returns the summary of a record. */
export function rowOf(record: VmRecord): SummaryRow {
  const { wanted, observed, leases } = record;
  const needsLaunch = wanted.state === 'running' && observed.launch < wanted.launch;
  const { deadline = null } = record;
  return [
    record.name,
    record.status,
    record.plugin,
    record.runtime,
    leases.ipAddress,
    record.updatedAtMs,
    record.replica?.deployment ?? null,
    wanted.state,
    (leases.tapName === null ? 0 : HAS_TAP) |
      (needsLaunch ? NEEDS_LAUNCH : 0) |
      (observed.isReleased ? IS_RELEASED : 0) |
      (record.process === null ? 0 : HAS_PROCESS),
    ...(deadline === null ? ([] as const) : ([deadline] as const)),
  ];
}

/** Returns a reader of rows. It keeps one copy of each text that many VMs share. */
export function summaryReader(): (id: number, row: SummaryRow) => VmSummary {
  const known = new Map<string, string>();
  const shared = <T extends string>(text: T): T => {
    const first = known.get(text);
    if (first !== undefined) return first as T;
    known.set(text, text);
    return text;
  };
  let last: VmSummary | undefined;
  return (id, row) => {
    // By position: an array that is taken apart by a pattern goes through an iterator, for each of 100,000 rows.
    const status = row[1];
    const plugin = row[2];
    const runtime = row[3];
    const deployment = row[6];
    const state = row[7];
    const flags = row[8];
    const before = last;
    last = {
      id,
      name: row[0],
      status: before?.status === status ? before.status : shared(status),
      plugin: before?.plugin === plugin ? before.plugin : shared(plugin),
      runtime: before?.runtime === runtime ? before.runtime : shared(runtime),
      ipAddress: row[4],
      hasTap: (flags & HAS_TAP) !== 0,
      updatedAtMs: row[5],
      deployment: deployment === null ? null : shared(deployment),
      wantedState: before?.wantedState === state ? before.wantedState : shared(state),
      needsLaunch: (flags & NEEDS_LAUNCH) !== 0,
      isReleased: (flags & IS_RELEASED) !== 0,
      hasProcess: (flags & HAS_PROCESS) !== 0,
      deadline: row[9] ?? null,
    };
    return last;
  };
}
