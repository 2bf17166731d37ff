// schema: figures that the kernel and hypervisors counted: of each VM, and of the host and the daemon. Nothing here is
// estimated. What cannot be had is null.

import { type Static, Type } from 'typebox';
import { Int64, MapOf, Nullable, OneOf, Timestamp } from './parts.ts';

/** A floating point number of at least 0. */
const Amount = (description: string) =>
  Type.Number({ format: 'double', minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description });

const Seconds = (description: string) => Amount(`Seconds: ${description}`);

const Bytes = (description: string) => Int64({ description: `Bytes: ${description}` });

export const VmCpuSchema = Type.Object(
  {
    vcpus: Int64({ description: 'Number of processors of the guest' }),
    user_seconds: Seconds(
      'CPU time of the hypervisor in user mode since its launch, the time of the guest included',
    ),
    system_seconds: Seconds('CPU time of the hypervisor in the kernel since its launch'),
  },
  { $id: 'VMCpuStats' },
);

export const VmMemorySchema = Type.Object(
  {
    guest_bytes: Bytes('the size of the memory of the guest'),
    resident_bytes: Bytes('memory of the host that the hypervisor has, the guest included'),
  },
  { $id: 'VMMemoryStats' },
);

export const VmCgroupSchema = Type.Object(
  {
    memory_bytes: Nullable(Bytes('memory that is charged to the cgroup, page cache included')),
    memory_limit_bytes: Nullable(Bytes('its limit; null without one')),
    tasks: Nullable(Int64({ description: 'Number of its threads' })),
    throttled_seconds: Nullable(
      Seconds('how long its threads had to wait because of the limit of CPU time'),
    ),
  },
  {
    $id: 'VMCgroupStats',
    description:
      'The cgroup (version 2) of the hypervisor; a member is null without its controller',
  },
);

export const VmNetworkSchema = Type.Object(
  {
    received_bytes: Bytes('received by the guest'),
    received_packets: Int64({ description: 'Packets that the guest received' }),
    received_dropped: Int64({
      description:
        'Packets for the guest that the host dropped: the guest did not take them in time',
    }),
    sent_bytes: Bytes('sent by the guest'),
    sent_packets: Int64({ description: 'Packets that the guest sent' }),
    sent_dropped: Int64({ description: 'Packets of the guest that the host dropped' }),
  },
  {
    $id: 'VMNetworkStats',
    description: 'Counters of the tap since the launch, as the guest sees them',
  },
);

export const VmDiskSchema = Type.Object(
  {
    device: Type.String({
      description: 'disk0 is the first disk of the guest, in the order of its config',
    }),
    read_bytes: Bytes('read by the guest'),
    read_operations: Int64(),
    written_bytes: Bytes('written by the guest'),
    write_operations: Int64(),
    flush_operations: Int64(),
  },
  { $id: 'VMDiskStats', description: 'Counters of the hypervisor since the launch' },
);

export const VmStatsSchema = Type.Object(
  {
    name: Type.String(),
    running: Type.Boolean({
      description: 'A hypervisor of the VM runs. If none does, all figures are null',
    }),
    sampled_at: Nullable(Timestamp('When the figures were read, about a second ago at most')),
    uptime_seconds: Nullable(Seconds('since the launch of the hypervisor')),
    cpu: Nullable(VmCpuSchema),
    memory: Nullable(VmMemorySchema),
    cgroup: Nullable(VmCgroupSchema),
    network: Nullable(VmNetworkSchema),
    disks: Nullable(
      Type.Array(VmDiskSchema, { description: 'An empty list for a VM without disks' }),
    ),
    missing: MapOf(Type.String({ description: 'The reason, as a sentence' })),
  },
  {
    $id: 'VMStats',
    description:
      'What the kernel and the hypervisor counted for a VM. Counters begin at 0 with each launch. `missing` says for each figure that is null why it is, by the name of its member',
  },
);

/** Names of queues. */
export const QUEUE_NAMES = [
  'requests',
  'intake',
  'operations',
  'boots',
  'workers',
  'downloads',
  'checksums',
  'images',
] as const;

export const QueueSchema = Type.Object(
  {
    name: OneOf(
      QUEUE_NAMES,
      'requests: answers under way; intake: launches that are checked and stored; operations: work on VMs; boots: guests that boot; workers, downloads, checksums: jobs of worker threads',
    ),
    running: Int64({ description: 'Units of its capacity that are in use' }),
    capacity: Int64({ description: 'How many units may be in use at the same time' }),
    waiting: Int64({ description: 'How many wait for their turn' }),
    waiting_max: Nullable(
      Int64({
        description: 'How many may wait; further ones are refused. null: another queue bounds it',
      }),
    ),
  },
  { $id: 'Queue', description: 'A queue of the daemon' },
);

export const SystemLoadSchema = Type.Object(
  {
    sampled_at: Timestamp('When the figures of the host were read, about a second ago at most'),
    cpu: Type.Object(
      {
        cores: Int64({ description: 'Processors that the daemon and its VMs may use' }),
        user_seconds: Seconds(
          'all processors, since the boot of the host, in user mode; guests included',
        ),
        system_seconds: Seconds('in the kernel, interrupts included'),
        idle_seconds: Seconds('idle'),
        iowait_seconds: Seconds('idle while a disk was waited for'),
        steal_seconds: Seconds('taken by the machine that this host is a guest of'),
      },
      { $id: 'HostCpu', description: 'Compare two readings to get the share of an interval' },
    ),
    memory: Type.Object(
      {
        total_bytes: Bytes('all memory'),
        available_bytes: Bytes('what programs can have without swapping'),
        swap_total_bytes: Bytes('all swap space'),
        swap_free_bytes: Bytes('free swap space'),
      },
      { $id: 'HostMemory' },
    ),
    load_average: Type.Object(
      {
        one_minute: Amount('Over one minute'),
        five_minutes: Amount('Over five minutes'),
        fifteen_minutes: Amount('Over fifteen minutes'),
      },
      { $id: 'LoadAverage', description: 'Tasks that run or wait, averaged by the kernel' },
    ),
    daemon: Type.Object(
      {
        uptime_seconds: Seconds('since the start of the daemon'),
        user_seconds: Seconds('CPU time of its threads in user mode'),
        system_seconds: Seconds('CPU time of its threads in the kernel'),
        resident_bytes: Bytes('memory of the host that it has'),
        heap_bytes: Bytes('used by objects of its main thread'),
        event_loop_delay_ms: Type.Object(
          {
            mean: Amount('Mean of all measurements'),
            p99: Amount('The highest 99th percentile of a second'),
            max: Amount('The longest'),
          },
          {
            $id: 'EventLoopDelay',
            description: 'Milliseconds by which its main thread was late, in the last ten seconds',
          },
        ),
      },
      { $id: 'DaemonLoad' },
    ),
    queues: Type.Array(QueueSchema),
  },
  { $id: 'SystemLoad', description: 'Load of the host and of the daemon' },
);

export type VmStats = Static<typeof VmStatsSchema>;

export type VmDiskStats = Static<typeof VmDiskSchema>;

export type SystemLoad = Static<typeof SystemLoadSchema>;

export type Queue = Static<typeof QueueSchema>;

export type QueueName = (typeof QUEUE_NAMES)[number];
