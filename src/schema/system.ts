// schema: what the daemon tells about itself.

import { type Static, Type } from 'typebox';
import { MapOf, Nullable } from './parts.ts';

export const HealthSchema = Type.Object({
  status: Type.String({ description: 'ok, or degraded while the daemon cannot do its work' }),
  reasons: Type.Optional(
    Type.Array(Type.String(), {
      description:
        'Why it is degraded. STORE_UNAVAILABLE: records cannot be written; STORE_STUCK: a write does not come back; DISK_FULL: no room on the disk of the records; WORKERS_STUCK: no worker thread comes back; LOOP_STALLED: the main thread stood still for long',
    }),
  ),
  warnings: Type.Optional(
    Type.Array(Type.String(), {
      description:
        'KEYS_FILE_BROKEN, TLS_FILES_BROKEN: the file was changed to one that cannot be used; what it was before counts. JOBS_HANGING: operations on the host have not come back; others go on',
    }),
  ),
});

export const AuditReportSchema = Type.Object(
  {
    clean: Type.Boolean({ description: 'The host is as the records say' }),
    differences: Type.Array(
      Type.Object({
        kind: Type.String({
          description:
            'process_missing, tap_missing, run_directory_missing: a VM that runs lacks it; process_left, tap_left, cgroup_left: one that does not run has it still; ..._unknown: no VM has it; lease_wrong: its address is leased to nobody, or to another VM; bridge_..., nat_..., filter_..., ports_..., shard_..., tap_loose, tap_down: the network of the guests',
        }),
        subject: Type.String({ description: 'A pid, a name, a number of a directory, an address' }),
        vm: Nullable(Type.String()),
        remedy: Nullable(Type.String({ description: 'null: a repair puts it in line' })),
      }),
    ),
    repaired: Type.Integer({ description: 'Differences that this look has put in line' }),
    in_progress: Type.Array(Type.String(), {
      description: 'VMs on their way from one status to another: nothing is said about them',
    }),
    checked: MapOf(Type.Integer()),
    duration_ms: Type.Integer(),
  },
  { description: 'Where the host differs from the records' },
);

export const SystemStatusSchema = Type.Object({
  status: Type.String(),
  vm_count: Type.Integer(),
  cpu_percent: Type.Number({ format: 'double', description: 'Of the whole host, 0 to 100' }),
  mem_percent: Type.Number({ format: 'double', description: 'Of the whole host, 0 to 100' }),
});

export const SystemSummarySchema = Type.Object({
  total_vms: Type.Integer(),
  by_status: MapOf(Type.Integer()),
  by_runtime: MapOf(Type.Integer()),
  total_plugins: Type.Integer(),
  enabled_plugins: Type.Integer(),
  plugins: Type.Array(
    Type.Object({ name: Type.String(), version: Type.String(), enabled: Type.Boolean() }),
  ),
});

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
    hypervisor: Type.Object(
      {},
      {
        description:
          'driver, executable, version, accelerator, reason, kvmTrial (result, reason, tries, triedAt; null where there was none); or error',
      },
    ),
    kernel: Type.Object({}, { description: 'path, or error' }),
    name_servers: Type.Object(
      {
        servers: Type.Array(Type.String()),
        problem: Type.Optional(Type.String({ description: 'Why guests cannot resolve names' })),
      },
      { description: 'Those that guests are told' },
    ),
    boots: Type.Object(
      {
        booting: Type.Integer({ description: 'Launched, and not heard of yet' }),
        waiting: Type.Integer({ description: 'Launches that wait for a place among them' }),
        relaunched: Type.Integer({
          description: 'Guests that came up with a broken clock and were launched again',
        }),
      },
      { description: 'Guests in their boot phase, since the daemon was started' },
    ),
    isolation: Type.Object(
      {
        mode: Type.String({
          description:
            'full: each hypervisor is a user of its own that sees its own files and devices only; off: it runs as the daemon does',
        }),
        first_uid: Nullable(Type.Integer({ description: 'The first of the users; null with off' })),
        last_uid: Nullable(Type.Integer()),
      },
      { description: 'How hypervisors are kept apart from the host and from each other' },
    ),
    keys: Type.Optional(
      Type.Object(
        {
          file: Type.String(),
          count: Type.Integer(),
          problem: Type.Optional(
            Type.String({ description: 'Why the file as it is now is not used' }),
          ),
        },
        { description: 'The file of named API keys; absent where there is none' },
      ),
    ),
    tls: Type.Optional(
      Type.Object(
        {
          subject: Type.String(),
          not_after: Type.String({ format: 'date-time' }),
          problem: Type.Optional(
            Type.String({ description: 'Why the files as they are now are not used' }),
          ),
        },
        { description: 'The certificate that new connections get; absent without TLS' },
      ),
    ),
    recovery: Type.Object({}, { description: 'What the last start found; null until it is done' }),
    supervisor: Type.Object(
      {
        kind: Type.String({ description: 'systemd, volant (started by `npm run up`), or none' }),
        unit: Nullable(Type.String({ description: 'The unit of systemd' })),
        restarts: Nullable(
          Type.Integer({
            minimum: 0,
            description:
              'How often the daemon died and was started again; null where systemd counts',
          }),
        ),
        last_exit: Nullable(
          Type.String({ description: 'Exit status or signal of the daemon before this one' }),
        ),
      },
      { description: 'Who starts the daemon again when it dies' },
    ),
  },
  { description: 'The daemon and its host' },
);

export type SystemStatus = Static<typeof SystemStatusSchema>;

/** As the schema tells it; a client knows more of some members. */
export type SystemFacts = Static<typeof SystemInfoSchema>;
