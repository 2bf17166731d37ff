// schema: what the daemon tells about itself.

import { type Static, Type } from 'typebox';
import { Documented, Int32, Int64, MapOf, Nullable, OneOf, Timestamp, Word } from './parts.ts';

export const HealthSchema = Type.Object(
  {
    status: OneOf(['ok', 'degraded'], 'degraded while the daemon cannot do its work'),
    reasons: Type.Optional(
      Type.Array(Type.String(), {
        description:
          'Why it is degraded. STORE_UNAVAILABLE: records cannot be written; STORE_STUCK: a write does not come back; DISK_FULL: no room on the disk of the records; WORKERS_STUCK: no worker thread comes back; LOOP_STALLED: the event loop stalled',
      }),
    ),
    warnings: Type.Optional(
      Type.Array(Type.String(), {
        description:
          'KEYS_FILE_BROKEN, TLS_FILES_BROKEN: the file was changed to one that cannot be used; what it was before counts. JOBS_HANGING: operations on the host have not come back; others go on',
      }),
    ),
  },
  { $id: 'Health' },
);

const AuditDifferenceSchema = Type.Object(
  {
    kind: Type.String({
      description:
        'process_missing, tap_missing, run_directory_missing: a VM that runs lacks it; process_left, tap_left, cgroup_left: one that does not run has it still; ..._unknown: no VM has it; lease_wrong: its address is leased to nobody, or to another VM; bridge_..., nat_..., filter_..., ports_..., shard_..., tap_loose, tap_down: the network of the guests',
    }),
    subject: Type.String({ description: 'A pid, a name, a number of a directory, an address' }),
    vm: Nullable(Type.String()),
    remedy: Nullable(Type.String({ description: 'null: a repair puts it in line' })),
  },
  { $id: 'AuditDifference' },
);

const PluginSummarySchema = Type.Object(
  { name: Type.String(), version: Type.String(), enabled: Type.Boolean() },
  { $id: 'PluginSummary' },
);

const BootsSchema = Type.Object(
  {
    booting: Int64({ description: 'Launched, and not heard of yet' }),
    waiting: Int64({ description: 'Launches that wait for a place among them' }),
    relaunched: Int64({
      description: 'Guests that came up with a broken clock and were launched again',
    }),
  },
  { $id: 'Boots', description: 'Guests in their boot phase, since the daemon was started' },
);

const RefusedConnectionsSchema = Type.Object(
  {
    full: Int64({ description: 'The guest had as many as it may have' }),
    unanswered: Int64({ description: 'Nothing in the guest took them' }),
  },
  {
    $id: 'RefusedConnections',
    description: 'Connections to host ports of guests without an address, since the start',
  },
);

const IsolationSchema = Type.Object(
  {
    mode: Documented(
      Type.String({
        description:
          'full: each hypervisor is a user of its own that sees its own files and devices only; off: it runs as the daemon does',
      }),
      { enum: ['full', 'off'] },
    ),
    first_uid: Nullable(Int64({ description: 'The first of the users; null with off' })),
    last_uid: Nullable(Int64()),
  },
  {
    $id: 'Isolation',
    description: 'How hypervisors are kept apart from the host and from each other',
  },
);

const KeysFileSchema = Type.Object(
  {
    file: Type.String(),
    count: Int64(),
    problem: Type.Optional(Type.String({ description: 'Why the file as it is now is not used' })),
  },
  { $id: 'KeysFile', description: 'The file of named API keys; absent where there is none' },
);

const CertificateSchema = Type.Object(
  {
    subject: Type.String(),
    not_after: Timestamp(),
    problem: Type.Optional(
      Type.String({ description: 'Why the files as they are now are not used' }),
    ),
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
        description: 'How often the daemon died and was started again; null where systemd counts',
      }),
    ),
    last_exit: Nullable(
      Type.String({ description: 'Exit status or signal of the daemon before this one' }),
    ),
  },
  { $id: 'Supervisor', description: 'Who starts the daemon again when it dies' },
);

export const AuditReportSchema = Type.Object(
  {
    clean: Type.Boolean({ description: 'The host is as the records say' }),
    differences: Type.Array(AuditDifferenceSchema),
    repaired: Int64({ description: 'Differences that this look has put in line' }),
    in_progress: Type.Array(Type.String(), {
      description: 'VMs on their way from one status to another: nothing is said about them',
    }),
    checked: MapOf(Int64()),
    duration_ms: Int64(),
  },
  { $id: 'AuditReport', description: 'Where the host differs from the records' },
);

export const HostBudgetSchema = Type.Object(
  {
    memory_total_mb: Int64({ description: 'Of the host' }),
    memory_limit_mb: Nullable(
      Int64({
        description:
          'What VMs may have together, with their hypervisors: VOLANT_MEMORY_OVERCOMMIT, VOLANT_MEMORY_RESERVE_MB; null: no bound',
      }),
    ),
    memory_used_mb: Int64({
      description: 'What those have that run or shall run; VMs of the simulator have none',
    }),
    cpu_cores: Int64({ description: 'Of the host' }),
    vcpus_limit: Nullable(Int64({ description: 'VOLANT_CPU_OVERCOMMIT; null: no bound' })),
    vcpus_used: Int64(),
  },
  {
    $id: 'HostBudget',
    description: 'What VMs have of the host, and may have; a VM that runs is never ended for it',
  },
);

const Percent = Type.Number({
  format: 'double',
  minimum: 0,
  maximum: 100,
  description: 'Of the whole host',
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
  { $id: 'KVMTrial', description: 'A guest that was tried under KVM; null where there was none' },
);

/** What cannot be known is left out; `error` says why nothing is. */
const HypervisorSchema = Type.Object(
  {
    driver: Type.Optional(Type.String()),
    executable: Type.Optional(Type.String({ description: 'Its path' })),
    version: Type.Optional(Type.String()),
    accelerator: Type.Optional(Type.String()),
    reason: Type.Optional(Type.String({ description: 'Why this accelerator' })),
    kvmTrial: Type.Optional(Nullable(KvmTrialSchema)),
    tscKhz: Type.Optional(Int64({ description: "The frequency of the host's time stamp counter" })),
    vhostVsock: Type.Optional(Type.Boolean({ description: 'Guests can have vsock' })),
    dataDirectories: Type.Optional(Type.Array(Type.String())),
    error: Type.Optional(Type.String({ description: 'Why there is none' })),
  },
  { $id: 'HypervisorInfo' },
);

const KernelSchema = Type.Object(
  {
    path: Type.Optional(Type.String()),
    error: Type.Optional(Type.String({ description: 'Why there is none' })),
  },
  { $id: 'KernelInfo' },
);

const NameServersSchema = Type.Object(
  {
    servers: Type.Array(Type.String()),
    problem: Type.Optional(Type.String({ description: 'Why guests cannot resolve names' })),
  },
  { $id: 'NameServers', description: 'Those that guests are told' },
);

const RecoverySchema = Type.Object(
  {
    adopted: Int64({ description: 'Hypervisors that went on running' }),
    crashed: Int64(),
    stopped: Int64(),
    undone: Int64(),
    swept: Int64({ description: 'Things that no record owned' }),
    durationMs: Int64(),
  },
  { $id: 'RecoveryReport', description: 'What the last start found; null until it is done' },
);

export const SystemInfoSchema = Type.Object(
  {
    status: Type.String(),
    version: Type.String(),
    api_listen_addr: Type.String(),
    api_advertise_addr: Type.String({
      description: 'Where it can be found: VOLANT_API_ADVERTISE, or where it listens',
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

/** What VMs take of their host together, and may take. */
export type HostBudget = Static<typeof HostBudgetSchema>;

export type SystemStatus = Static<typeof SystemStatusSchema>;

/** As the schema tells it; a client knows more of some members. */
export type SystemFacts = Static<typeof SystemInfoSchema>;
