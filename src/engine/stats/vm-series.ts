// engine, stats: readings of VMs as metrics. A bounded number of VMs has series of its own; the others are summed into
// one. A counter of that sum must never fall, or Prometheus would take it for one that began again: so what each of
// them has counted since the reading before is added, and what a VM had counted stays in it when the VM ends.

import type { Family, FamilyFacts, Sample as MetricSample } from '../../lib/metrics/family.ts';
import type { EgressCount } from '../ports/network-ports.ts';
import { FIGURE, FIGURES } from '../ports/stats-ports.ts';
import type { Sample, VmSample } from './vm-sampler.ts';
import { launchedSizeOf, MIB } from './vm-stats.ts';

/** The label of the sum. No VM can have this name. */
export const OTHER = '_other';

/** Positions of figures that follow those of FIGURE. */
const DISK = {
  readBytes: FIGURES,
  writtenBytes: FIGURES + 1,
  reads: FIGURES + 2,
  writes: FIGURES + 3,
  flushes: FIGURES + 4,
  vcpus: FIGURES + 5,
  guestBytes: FIGURES + 6,
} as const;

const REFUSED = { packets: FIGURES + 7, bytes: FIGURES + 8 } as const;

const WIDTH = FIGURES + 9;

/** What egress rules have counted, by the name of the VM. VMs without rules are not in it. */
export type EgressCounts = ReadonlyMap<
  string,
  Pick<EgressCount, 'refusedPackets' | 'refusedBytes'>
>;

interface SeriesFacts extends FamilyFacts {
  readonly type: 'counter' | 'gauge';
  /** Positions of the figures, by further labels as text. */
  readonly parts: readonly (readonly [labels: string, position: number])[];
  /** A sum of it says nothing. */
  readonly isSummed?: boolean;
}

const plain = (name: string, position: number, help: string): SeriesFacts => ({
  name: `volant_vm_${name}`,
  help,
  type: 'counter',
  parts: [['', position]],
});

const SERIES: readonly SeriesFacts[] = [
  {
    name: 'volant_vm_cpu_seconds',
    help: 'CPU time of the hypervisor since its launch, the time of the guest included',
    labels: ['mode'],
    type: 'counter',
    parts: [
      [',mode="user"', FIGURE.userSeconds],
      [',mode="system"', FIGURE.systemSeconds],
    ],
  },
  plain(
    'cpu_throttled_seconds',
    FIGURE.cgroupThrottledSeconds,
    'Time that the threads of the hypervisor waited because of the limit of CPU time',
  ),
  { ...plain('vcpus', DISK.vcpus, 'Processors of the guest'), type: 'gauge' },
  {
    ...plain('memory_guest_bytes', DISK.guestBytes, 'Size of the memory of the guest'),
    type: 'gauge',
  },
  {
    ...plain(
      'memory_resident_bytes',
      FIGURE.residentBytes,
      'Memory of the host that the hypervisor has, the guest included',
    ),
    type: 'gauge',
  },
  {
    ...plain(
      'cgroup_memory_bytes',
      FIGURE.cgroupMemoryBytes,
      'Memory that is charged to the cgroup of the hypervisor',
    ),
    type: 'gauge',
  },
  {
    ...plain(
      'uptime_seconds',
      FIGURE.uptimeSeconds,
      'Time since the launch of the hypervisor; not of the others',
    ),
    type: 'gauge',
    isSummed: false,
  },
  plain('network_received_bytes', FIGURE.receivedBytes, 'Bytes that the guest received'),
  plain('network_sent_bytes', FIGURE.sentBytes, 'Bytes that the guest sent'),
  plain('network_received_packets', FIGURE.receivedPackets, 'Packets that the guest received'),
  plain('network_sent_packets', FIGURE.sentPackets, 'Packets that the guest sent'),
  plain(
    'network_received_dropped_packets',
    FIGURE.receivedDropped,
    'Packets for the guest that the host dropped',
  ),
  plain(
    'network_sent_dropped_packets',
    FIGURE.sentDropped,
    'Packets of the guest that the host dropped',
  ),
  plain(
    'egress_refused_packets',
    REFUSED.packets,
    'Packets of the guest that its egress rules refused',
  ),
  plain('egress_refused_bytes', REFUSED.bytes, 'Bytes of the guest that its egress rules refused'),
  plain('disk_read_bytes', DISK.readBytes, 'Bytes that the guest read from its disks'),
  plain('disk_written_bytes', DISK.writtenBytes, 'Bytes that the guest wrote to its disks'),
  plain('disk_reads', DISK.reads, 'Reads of the guest from its disks'),
  plain('disk_writes', DISK.writes, 'Writes of the guest to its disks'),
  plain('disk_flushes', DISK.flushes, 'Flushes of the disks by the guest'),
];

/** What a VM of the sum had counted at the last reading. */
interface Last {
  readonly startTimeTicks: number;
  readonly row: Float64Array;
}

export class VmSeries {
  readonly #vmsMax: number;
  /** VMs with series of their own. A VM keeps them as long as it runs. */
  #own = new Set<number>();
  #last = new Map<number, Last>();
  /** Counters of the others together; NaN before one of them had the figure. */
  readonly #counted = new Float64Array(WIDTH).fill(Number.NaN);
  /** The last reading that was added. */
  #added: Sample | null = null;

  constructor(vmsMax: number) {
    this.#vmsMax = vmsMax;
  }

  /** The families of this reading. A reading that was added before is not added again. */
  families(sample: Sample, egress: EgressCounts): readonly Family[] {
    const isNew = this.#added !== sample;
    if (isNew) this.#chooseOwn(sample);
    const own: Row[] = [];
    const others: Row[] = [];
    // One piece of memory for all, because thousands of small ones take long to make.
    const all = new Float64Array(sample.vms.length * WIDTH).fill(Number.NaN);
    for (const [index, vm] of sample.vms.entries()) {
      const row = all.subarray(index * WIDTH, (index + 1) * WIDTH);
      fill(row, vm, egress);
      (this.#own.has(vm.record.id) ? own : others).push({ vm, row });
    }
    if (isNew) this.#add(others);
    this.#added = sample;
    const sums = others.length === 0 ? null : this.#sums(others);
    return SERIES.map((facts) => familyOf(facts, own, sums));
  }

  /** VMs of the last reading that have no series of their own. */
  get others(): number {
    return (this.#added?.vms.length ?? 0) - this.#own.size;
  }

  #chooseOwn({ vms }: Sample): void {
    const kept = vms.filter(({ record }) => this.#own.has(record.id));
    this.#own = new Set(kept.map(({ record }) => record.id));
    for (const { record } of vms) {
      if (this.#own.size >= this.#vmsMax) return;
      this.#own.add(record.id);
    }
  }

  #add(others: readonly Row[]): void {
    const now = new Map<number, Last>();
    const all = new Float64Array(others.length * WIDTH);
    for (const [index, { vm, row }] of others.entries()) {
      const { startTimeTicks } = vm.identity;
      const known = this.#last.get(vm.record.id);
      const before = known?.startTimeTicks === startTimeTicks ? known.row : NOTHING;
      const counted = all.subarray(index * WIDTH, (index + 1) * WIDTH);
      this.#addRow(row, before, counted);
      now.set(vm.record.id, { startTimeTicks, row: counted });
    }
    this.#last = now;
  }

  /** Adds what was counted since `before`. `counted` becomes what is counted now; a missing figure stays as it was. */
  #addRow(row: Float64Array, before: Float64Array, counted: Float64Array): void {
    for (let position = 0; position < WIDTH; position += 1) {
      const earlier = before[position] ?? 0;
      const value = row[position] ?? Number.NaN;
      if (Number.isNaN(value)) {
        counted[position] = earlier;
        continue;
      }
      counted[position] = value;
      const more = Math.max(0, value - earlier);
      this.#counted[position] = (this.#counted[position] || 0) + more;
    }
  }

  /** Counters are those of #counted, gauges are sums of this reading. */
  #sums(others: readonly Row[]): Float64Array {
    const sums = new Float64Array(this.#counted);
    for (const { type, parts } of SERIES) {
      if (type !== 'gauge') continue;
      for (const [, position] of parts) {
        sums[position] = Number.NaN;
        for (const { row } of others) {
          const value = row[position] ?? Number.NaN;
          if (!Number.isNaN(value)) sums[position] = (sums[position] || 0) + value;
        }
      }
    }
    return sums;
  }
}

/** All figures of one VM in a reading. */
interface Row {
  readonly vm: VmSample;
  readonly row: Float64Array;
}

const NOTHING = new Float64Array(WIDTH);

/** Writes the figures of a VM, with those of its disks together, its size, and what its egress rules refused. */
function fill(all: Float64Array, { record, row, disks }: VmSample, egress: EgressCounts): void {
  all.set(row);
  const { cpuCores, memoryMb } = launchedSizeOf(record);
  all[DISK.vcpus] = cpuCores;
  all[DISK.guestBytes] = memoryMb * MIB;
  const counted = egress.get(record.name);
  if (counted !== undefined) {
    all[REFUSED.packets] = counted.refusedPackets;
    all[REFUSED.bytes] = counted.refusedBytes;
  }
  if ('missing' in disks) return;
  all.fill(0, DISK.readBytes, DISK.flushes + 1);
  const add = (position: number, value: number) => {
    all[position] = (all[position] ?? 0) + value;
  };
  for (const disk of disks) {
    add(DISK.readBytes, disk.readBytes);
    add(DISK.writtenBytes, disk.writtenBytes);
    add(DISK.reads, disk.readOperations);
    add(DISK.writes, disk.writeOperations);
    add(DISK.flushes, disk.flushOperations);
  }
}

function familyOf(
  { name, help, type, labels = [], parts, isSummed = true }: SeriesFacts,
  own: readonly Row[],
  sums: Float64Array | null,
): Family {
  const suffix = type === 'counter' ? '_total' : '';
  return {
    name,
    help,
    type,
    labels: ['vm', ...labels],
    *samples() {
      for (const { vm, row } of own) yield* samplesOf(vm.record.name, row);
      if (sums !== null && isSummed) yield* samplesOf(OTHER, sums);
    },
  };

  /** The name of a VM needs no escape: see NAME_PATTERN. */
  function* samplesOf(vm: string, row: Float64Array): Iterable<MetricSample> {
    for (const [more, position] of parts) {
      const value = row[position] ?? Number.NaN;
      if (!Number.isNaN(value)) yield [suffix, `{vm="${vm}"${more}}`, value];
    }
  }
}
