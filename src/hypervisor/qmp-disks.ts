// hypervisor: the counters of disks in an answer to query-blockstats (QEMU, qapi/block-core.json, BlockStats). Pure. A
// hypervisor runs guest code and is not trusted: entries with wrong members are ignored.

import type { DiskCounters } from '../engine/ports/hypervisor-ports.ts';

/** The names of disks on the command line: see qemu-command.ts. */
const DEVICE = /^disk(\d{1,3})$/;

/** Devices of other names are not the guest's disks. In the order of the disks. */
export function diskCountersIn(result: unknown): readonly DiskCounters[] {
  if (!Array.isArray(result)) return [];
  const disks = result.flatMap((entry: unknown) => countersOf(entry) ?? []);
  return disks.sort((a, b) => indexOf(a) - indexOf(b));
}

function indexOf({ device }: DiskCounters): number {
  return Number(DEVICE.exec(device)?.[1]);
}

function countersOf(entry: unknown): DiskCounters | null {
  const { device, stats } = (entry ?? {}) as { device?: unknown; stats?: unknown };
  if (typeof device !== 'string' || !DEVICE.test(device)) return null;
  const counted = (stats ?? {}) as Readonly<Record<string, unknown>>;
  const [readBytes, readOperations, writtenBytes, writeOperations, flushOperations] = [
    'rd_bytes',
    'rd_operations',
    'wr_bytes',
    'wr_operations',
    'flush_operations',
  ].map((name) => counted[name]);
  const isCount = (value: unknown): value is number =>
    Number.isSafeInteger(value) && Number(value) >= 0;
  if (!isCount(readBytes) || !isCount(readOperations)) return null;
  if (!isCount(writtenBytes) || !isCount(writeOperations) || !isCount(flushOperations)) return null;
  return { device, readBytes, readOperations, writtenBytes, writeOperations, flushOperations };
}
