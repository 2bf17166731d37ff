// schema: facts about the daemon: health, status, audit, settings.

import { type Static, Type } from 'typebox';
import { Documented, Int32, Int64, MapOf, Nullable, OneOf, Timestamp, Word } from './parts.ts';

export const HealthSchema = Type.Object(
  {
    status: OneOf(['ok', 'degraded'], 'degraded while the daemon cannot work normally'),
    reasons: Type.Optional(
      Type.Array(Type.String(), {
        description:
          'Why it is degraded. STORE_UNAVAILABLE: records cannot be written; STORE_STUCK: a write does not complete; DISK_FULL: the disk of the records is full; WORKERS_STUCK: no worker thread completes its job; LOOP_STALLED: the event loop stalled',
      }),
    ),
    warnings: Type.Optional(
      Type.Array(Type.String(), {
        description:
          'KEYS_FILE_BROKEN, TLS_FILES_BROKEN: the file was changed and cannot be used; its earlier content stays valid. JOBS_HANGING: operations on the host do not complete; others continue',
      }),
    ),
  },
  { $id: 'Health' },
);

const AuditDifferenceSchema = Type.Object(
  {
    kind: Type.String({
      description:
        'process_missing, tap_missing, run_directory_missing: a running VM lacks it; process_left, tap_left, cgroup_left: a VM that does not run still has it; ..._unknown: it belongs to no VM; lease_wrong: the address of a VM is not allocated, or is allocated to another VM; bridge_..., nat_..., filter_..., ports_..., shard_..., tap_loose, tap_down: the network of the guests',
    }),
    subject: Type.String({
      description: 'A pid, a name, the number of a directory, or an address',
    }),
    vm: Nullable(Type.String()),
    remedy: Nullable(Type.String({ description: 'null: a repair fixes it' })),
  },
  { $id: 'AuditDifference' },
);

const PluginSummarySchema = Type.Object(
  { name: Type.String(), version: Type.String(), enabled: Type.Boolean() },
  { $id: 'PluginSummary' },
);

const BootsSchema = Type.Object(
  {
    booting: Int64({ description: 'Launched guests whose agent has not answered yet' }),
    waiting: Int64({ description: 'Launches in the queue for a boot slot' }),
    relaunched: Int64({
      description:
        'Guests that hung in their boot or came up with a broken clock, and were launched again',
    }),
  },
  { $id: 'Boots', description: 'Guests that boot, and counts since the daemon started' },
);

const RefusedConnectionsSchema = Type.Object(
  {
    full: Int64({ description: 'The guest had the maximum number of connections' }),
    unanswered: Int64({ description: 'Nothing in the guest accepted them' }),
  },
  {
    $id: 'RefusedConnections',
    description:
      'Refused connections to published ports of guests without an address, since the daemon started',
  },
);

const IsolationSchema = Type.Object(
  {
    mode: Documented(
      Type.String({
        description:
          'full: each hypervisor runs as a user of its own that sees only its own files and devices; off: it runs as the user of the daemon',
      }),
      { enum: ['full', 'off'] },
    ),
    first_uid: Nullable(Int64({ description: 'Id of the first of these users; null with off' })),
    last_uid: Nullable(Int64()),
  },
  {
    $id: 'Isolation',
    description: 'How hypervisors are isolated from the host and from each other',
  },
);

const KeysFileSchema = Type.Object(
  {
    file: Type.String(),
    count: Int64(),
    problem: Type.Optional(Type.String({ description: 'Why the current file is not used' })),
  },
  { $id: 'KeysFile', description: 'The file of named API keys; absent if there is none' },
);

const CertificateSchema = Type.Object(
  {
    subject: Type.String(),
    not_after: Timestamp(),
    problem: Type.Optional(Type.String({ description: 'Why the current files are not used' })),
  },
  {
    $id: 'Certificate',
    description: 'The certificate that new connections get; absent without TLS',
  },
);

const SupervisorSchema = Type.Object(
  {
    kind: Word(['none', 'volant', 'systemd'], 'volant: started by `npm run up`'),
    unit: Nullable(Type.String({ description: 'The unit of systemd' })),
    restarts: Nullable(
      Int64({
        description: 'How often the daemon was restarted after it died; null if systemd counts',
      }),
    ),
    last_exit: Nullable(
      Type.String({ description: 'Exit status or signal of the previous daemon' }),
    ),
  },
  { $id: 'Supervisor', description: 'What restarts the daemon when it dies' },
);

export const AuditReportSchema = Type.Object(
  {
    clean: Type.Boolean({ description: 'true: the host matches the records' }),
    differences: Type.Array(AuditDifferenceSchema),
    repaired: Int64({ description: 'Number of differences that this audit repaired' }),
    in_progress: Type.Array(Type.String(), {
      description: 'VMs that change their status, and were not compared',
    }),
    checked: MapOf(Int64()),
    duration_ms: Int64(),
  },
  { $id: 'AuditReport', description: 'Differences between the host and the records' },
);

export const HostBudgetSchema = Type.Object(
  {
    memory_total_mb: Int64({ description: 'Memory of the host' }),
    memory_limit_mb: Nullable(
      Int64({
        description:
          'Maximum for all VMs with their hypervisors: VOLANT_MEMORY_OVERCOMMIT, VOLANT_MEMORY_RESERVE_MB; null: no bound',
      }),
    ),
    memory_used_mb: Int64({
      description: 'Memory of the VMs that run or are to run; VMs of the simulator count as 0',
    }),
    cpu_cores: Int64({ description: 'CPU cores of the host' }),
    vcpus_limit: Nullable(Int64({ description: 'VOLANT_CPU_OVERCOMMIT; null: no bound' })),
    vcpus_used: Int64(),
  },
  {
    $id: 'HostBudget',
    description:
      'Resources of the host that VMs use and may use; a running VM is never ended because of a limit',
  },
);

const Percent = Type.Number({
  format: 'double',
  minimum: 0,
  maximum: 100,
  description: 'Share of the whole host',
});

export const SystemStatusSchema = Type.Object(
  {
    status: Type.String(),
    vm_count: Int32(),
    cpu_percent: Percent,
    mem_percent: Percent,
    budget: HostBudgetSchema,
  },
  { $id: 'SystemStatus' },
);

export const SystemSummarySchema = Type.Object(
  {
    total_vms: Int64(),
    by_status: MapOf(Int64()),
    by_runtime: MapOf(Int64()),
    total_plugins: Int64(),
    enabled_plugins: Int64(),
    plugins: Type.Array(PluginSummarySchema),
  },
  { $id: 'SystemSummary' },
);

const KvmTrialSchema = Type.Object(
  {
    result: Word(['works', 'failed', 'timed-out']),
    reason: Type.String(),
    tries: Int64(),
    triedAt: Timestamp(),
  },
  { $id: 'KVMTrial', description: 'A trial boot of a guest under KVM; null if there was none' },
);

/** Unknown members are absent; `error` says why all are. */
const HypervisorSchema = Type.Object(
  {
    driver: Type.Optional(Type.String()),
    executable: Type.Optional(Type.String({ description: 'Its path' })),
    version: Type.Optional(Type.String()),
    accelerator: Type.Optional(Type.String()),
    reason: Type.Optional(Type.String({ description: 'Why this accelerator was chosen' })),
    kvmTrial: Type.Optional(Nullable(KvmTrialSchema)),
    tscKhz: Type.Optional(Int64({ description: "The frequency of the host's time stamp counter" })),
    vhostVsock: Type.Optional(Type.Boolean({ description: 'Guests can have vsock' })),
    dataDirectories: Type.Optional(Type.Array(Type.String())),
    error: Type.Optional(Type.String({ description: 'Why there is no hypervisor' })),
  },
  { $id: 'HypervisorInfo' },
);

const KernelSchema = Type.Object(
  {
    path: Type.Optional(Type.String()),
    error: Type.Optional(Type.String({ description: 'Why there is no guest kernel' })),
  },
  { $id: 'KernelInfo' },
);

const NameServersSchema = Type.Object(
  {
    servers: Type.Array(Type.String()),
    problem: Type.Optional(Type.String({ description: 'Why guests cannot resolve names' })),
  },
  { $id: 'NameServers', description: 'The name servers of guests' },
);

const RecoverySchema = Type.Object(
  {
    adopted: Int64({ description: 'Hypervisors that ran on and were adopted' }),
    crashed: Int64(),
    stopped: Int64(),
    undone: Int64(),
    swept: Int64({ description: 'Objects that belonged to no record and were removed' }),
    durationMs: Int64(),
  },
  {
    $id: 'RecoveryReport',
    description: 'Result of the recovery at the last start; null until it is complete',
  },
);

export const SystemInfoSchema = Type.Object(
  {
    status: Type.String(),
    version: Type.String(),
    api_listen_addr: Type.String(),
    api_advertise_addr: Type.String({
      description:
        'Address for clients: VOLANT_API_ADVERTISE, or the address on which the daemon listens',
    }),
    host_ip: Type.String(),
    bridge: Type.String(),
    subnet: Type.String(),
    hypervisor: HypervisorSchema,
    kernel: KernelSchema,
    name_servers: NameServersSchema,
    boots: BootsSchema,
    refused_connections: RefusedConnectionsSchema,
    isolation: IsolationSchema,
    keys: Type.Optional(KeysFileSchema),
    tls: Type.Optional(CertificateSchema),
    recovery: Nullable(RecoverySchema),
    supervisor: SupervisorSchema,
  },
  { $id: 'SystemInfo', description: 'The daemon and its host' },
);

/** Resources of the host that all VMs use and may use. */
export type HostBudget = Static<typeof HostBudgetSchema>;

export type SystemStatus = Static<typeof SystemStatusSchema>;

/** As the schema describes it. The client has more precise types for some members. */
export type SystemFacts = Static<typeof SystemInfoSchema>;
