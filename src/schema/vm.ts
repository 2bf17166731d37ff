// schema: the VM as the API shows it, and the request that makes one. Nouns only: what an operation
// does with them is the engine's business.

import { type Static, Type } from 'typebox';
import { ConditionSchema } from './condition.ts';
import { DRY_RUN_MEMBERS } from './dry-run.ts';
import {
  API_HOST_PATTERN,
  API_PORT_PATTERN,
  Autostart,
  Int32,
  Int64,
  IPV4_PATTERN,
  Name,
  Nullable,
  OneOf,
  orEmpty,
  Text,
  Timestamp,
  Warnings,
} from './parts.ts';
import { VmConfigSchema } from './vm-config.ts';

export const VM_STATUSES = [
  'pending',
  'starting',
  'running',
  'stopping',
  'stopped',
  'crashed',
  'deleting',
] as const;

export const VM_SORT_KEYS = ['created_at', 'updated_at', 'name', 'status', 'runtime'] as const;

export type VmStatus = (typeof VM_STATUSES)[number];

export const OPERATION_KINDS = [
  'create',
  'start',
  'stop',
  'restart',
  'delete',
  'reconcile',
] as const;

export const OPERATION_CAUSES = ['request', 'deployment', 'exit', 'daemon'] as const;

export const OPERATION_OUTCOMES = ['running', 'done', 'failed', 'superseded'] as const;

export const VmOperationStepSchema = Type.Object(
  {
    step: Type.String(),
    times: Int64({ description: 'In a row, with the same result' }),
    duration_ms: Int64({ description: 'Of the last time' }),
    error: Nullable(Type.String()),
  },
  { $id: 'VMOperationStep' },
);

export const VmOperationSchema = Type.Object(
  {
    number: Int64(),
    kind: OneOf(OPERATION_KINDS, 'reconcile: nobody asked for it'),
    cause: OneOf(
      OPERATION_CAUSES,
      'deployment: its number of replicas or its config; exit: of the hypervisor; daemon: a reason of its own',
    ),
    request_id: Type.Optional(
      Type.String({ description: 'X-Request-Id of the request that is behind it' }),
    ),
    started_at: Timestamp(),
    ended_at: Nullable(Timestamp()),
    outcome: OneOf(OPERATION_OUTCOMES, 'superseded: something else was asked for meanwhile'),
    error: Nullable(Type.String()),
    steps: Type.Array(VmOperationStepSchema),
  },
  { $id: 'VMOperation', description: 'What was done for a VM' },
);

export const VmWorkloadSchema = Type.Object(
  {
    state: Type.String({
      description:
        'none, waiting, starting, running, backoff (it ended and is started again), failed (it can never run), external (an init of the root disk runs the guest), stopped',
    }),
    healthy: Nullable(
      Type.Boolean({ description: 'What its check said last; null before the first verdict' }),
    ),
    check: Type.Optional(
      Type.String({
        description:
          'How it is checked: http, tcp, exec, listen (the manifest says nothing: its port must listen) or none',
      }),
    ),
    check_failure: Type.Optional(Type.String({ description: 'Why the last check failed' })),
    restarts: Int32({ description: 'Since the guest came up' }),
    last_exit: Type.Optional(Type.String({ description: 'How it ended last, as a sentence' })),
    exit_code: Type.Optional(Int32()),
    exit_signal: Type.Optional(Int32()),
    last_lines: Type.Optional(
      Type.Array(Type.String(), {
        description: 'What it wrote last before it ended, until it has run for a minute',
      }),
    ),
    reason: Type.Optional(Type.String({ description: 'What a person must know of it' })),
  },
  { $id: 'VMWorkload', description: 'What the agent in the guest tells of the workload' },
);

export type VmWorkload = Static<typeof VmWorkloadSchema>;

export const VmSchema = Type.Object(
  {
    id: Int64({ description: 'Never reused' }),
    name: Type.String(),
    status: OneOf(VM_STATUSES, 'What it does now'),
    status_reason: Type.Optional(
      Type.String({
        description: 'Why it is not further, while it waits for something, or how it crashed',
      }),
    ),
    conditions: Type.Array(ConditionSchema, {
      description:
        'What is known of a VM that runs or has crashed: true is as it should be. One that is not listed is not known, or does not apply',
    }),
    workload: Type.Optional(VmWorkloadSchema),
    runtime: Type.String(),
    plugin: Type.String(),
    pid: Type.Optional(
      Int64({ description: 'Process id of the hypervisor; absent when none runs' }),
    ),
    ip_address: Text(orEmpty(IPV4_PATTERN), 'Empty without a bridged network'),
    mac_address: Text('^[0-9a-f]{2}(:[0-9a-f]{2}){5}$'),
    vsock_cid: Int64(),
    cpu_cores: Int32(),
    memory_mb: Int32({ description: 'MiB' }),
    kernel_cmdline: Type.String({ description: 'Without the volant.* arguments' }),
    serial_socket: Type.String({
      description: 'Absolute path of the console, a unix socket on the host',
    }),
    created_at: Timestamp(),
    updated_at: Timestamp(),
    warnings: Type.Optional(Warnings),
    ...DRY_RUN_MEMBERS,
    kernel: Type.Optional(
      Type.String({ description: 'Of a dry run: the kernel that it would boot' }),
    ),
    vm_count_after: Type.Optional(
      Int64({ description: 'Of a dry run: how many VMs there would be' }),
    ),
    config: Type.Optional(VmConfigSchema),
  },
  { $id: 'VM', description: 'A virtual machine' },
);

export type Vm = Static<typeof VmSchema>;

/** `plugin` may be in the config instead, so it is the document only that asks for it. */
export const CreateVmSchema = Type.Object(
  {
    name: Name,
    plugin: Type.Optional(Type.String()),
    runtime: Type.Optional(Type.String()),
    cpu_cores: Type.Optional(Int32({ description: '0 means: not set' })),
    memory_mb: Type.Optional(Int32({ description: 'MiB; 0 means: not set' })),
    kernel_cmdline: Type.Optional(Type.String({ description: 'Added to the kernel command line' })),
    api_host: Type.Optional(Text(API_HOST_PATTERN)),
    api_port: Type.Optional(Text(API_PORT_PATTERN)),
    autostart: Type.Optional(Autostart),
    config: Type.Optional(Nullable(VmConfigSchema)),
  },
  { $id: 'CreateVM', documented: { required: ['name', 'plugin'] } },
);

export type CreateVmRequest = Static<typeof CreateVmSchema>;
