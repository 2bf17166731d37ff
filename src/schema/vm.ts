// schema: the VM as the API shows it, and the request that creates one. Nouns only: the engine defines what operations do.

import { type Static, Type } from 'typebox';
import { LIMITS } from '../config/limits.ts';
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

export const OPERATION_CAUSES = ['request', 'deployment', 'exit', 'deadline', 'daemon'] as const;

export const OPERATION_OUTCOMES = ['running', 'done', 'failed', 'superseded'] as const;

export const VmOperationStepSchema = Type.Object(
  {
    step: Type.String(),
    times: Int64({ description: 'Number of consecutive runs with the same result' }),
    duration_ms: Int64({ description: 'Duration of the last run' }),
    error: Nullable(Type.String()),
  },
  { $id: 'VMOperationStep' },
);

export const VmOperationSchema = Type.Object(
  {
    number: Int64(),
    kind: OneOf(OPERATION_KINDS, 'reconcile: started by the daemon itself'),
    cause: OneOf(
      OPERATION_CAUSES,
      'deployment: its number of replicas or its config changed; exit: the hypervisor exited; deadline: that of the VM has passed; daemon: a reason of the daemon itself',
    ),
    request_id: Type.Optional(
      Type.String({ description: 'X-Request-Id of the request that caused it' }),
    ),
    started_at: Timestamp(),
    ended_at: Nullable(Timestamp()),
    outcome: OneOf(OPERATION_OUTCOMES, 'superseded: a later request replaced it'),
    error: Nullable(Type.String()),
    steps: Type.Array(VmOperationStepSchema),
  },
  { $id: 'VMOperation', description: 'An operation on a VM' },
);

export const VmWorkloadSchema = Type.Object(
  {
    state: Type.String({
      description:
        'none (the VM runs no program of its own), waiting, starting, running, backoff (it exited and will be restarted), failed (it can never run), external (an init of the root disk runs the guest), stopped',
    }),
    healthy: Nullable(
      Type.Boolean({ description: 'Result of the last health check; null before the first one' }),
    ),
    check: Type.Optional(
      Type.String({
        description:
          'Type of its health check: http, tcp, exec, listen (no check in the manifest: its port must listen) or none',
      }),
    ),
    check_failure: Type.Optional(Type.String({ description: 'Why the last check failed' })),
    restarts: Int32({ description: 'Number of restarts since the guest booted' }),
    last_exit: Type.Optional(Type.String({ description: 'How it exited last, as a sentence' })),
    exit_code: Type.Optional(Int32()),
    exit_signal: Type.Optional(Int32()),
    last_lines: Type.Optional(
      Type.Array(Type.String(), {
        description: 'Its last output before it exited; present until it has run for a minute',
      }),
    ),
    reason: Type.Optional(Type.String({ description: 'An explanation for a person' })),
  },
  { $id: 'VMWorkload', description: 'State of the workload, as the agent in the guest reports it' },
);

export type VmWorkload = Static<typeof VmWorkloadSchema>;

export const VmSchema = Type.Object(
  {
    id: Int64({ description: 'Never reused' }),
    name: Type.String(),
    status: OneOf(VM_STATUSES, 'Current status'),
    status_reason: Type.Optional(
      Type.String({
        description: 'What the VM waits for, or how it crashed',
      }),
    ),
    conditions: Type.Array(ConditionSchema, {
      description:
        'Conditions of a VM that runs or has crashed; true is the good state. A condition that is not listed is unknown or does not apply',
    }),
    exit_code: Nullable(
      Int32({
        description:
          'Exit code of a workload that has ended for good (workload.restart); null otherwise',
      }),
    ),
    exit_signal: Nullable(
      Int32({ description: 'Number of the signal that ended it for good; null otherwise' }),
    ),
    workload: Type.Optional(VmWorkloadSchema),
    runtime: Type.String(),
    plugin: Type.String(),
    pid: Type.Optional(Int64({ description: 'Process id of the hypervisor; absent if none runs' })),
    ip_address: Text(orEmpty(IPV4_PATTERN), 'Empty without a bridged network'),
    mac_address: Text('^[0-9a-f]{2}(:[0-9a-f]{2}){5}$'),
    vsock_cid: Int64(),
    cpu_cores: Int32(),
    memory_mb: Int32({ description: 'MiB' }),
    kernel_cmdline: Type.String({ description: 'Additional kernel arguments, without volant.*' }),
    serial_socket: Type.String({
      description: 'Absolute path of the console, a unix socket on the host',
    }),
    deadline: Type.Optional(Timestamp('The VM is deleted at this time; absent if it stays')),
    created_at: Timestamp(),
    updated_at: Timestamp(),
    warnings: Type.Optional(Warnings),
    ...DRY_RUN_MEMBERS,
    kernel: Type.Optional(
      Type.String({ description: 'In a dry run: the kernel that the VM would boot' }),
    ),
    vm_count_after: Type.Optional(
      Int64({ description: 'In a dry run: the number of VMs there would be' }),
    ),
    config: Type.Optional(VmConfigSchema),
  },
  { $id: 'VM', description: 'A virtual machine' },
);

export type Vm = Static<typeof VmSchema>;

export const VmResultSchema = Type.Object(
  {
    name: Type.String({ description: 'The VM' }),
    content_type: OneOf(
      ['application/json', 'text/plain'],
      'application/json if it was posted as JSON, which it is then',
    ),
    size_bytes: Int32(),
    posted_at: Timestamp(),
    body: Type.String({ description: 'The result as it was posted' }),
  },
  { $id: 'VMResult', description: 'The newest result that the guest has posted' },
);

export type VmResult = Static<typeof VmResultSchema>;

const DeadlineSeconds = Int64({ minimum: 1, maximum: LIMITS.deadlineSecondsMax });

export const VmDeadlineSchema = Type.Object(
  {
    seconds: Nullable({
      ...DeadlineSeconds,
      description: 'From now on, until the VM is deleted; null: it stays',
    }),
  },
  { $id: 'VMDeadline', description: 'When a VM is to be deleted' },
);

export type VmDeadline = Static<typeof VmDeadlineSchema>;

/** `plugin` may be in the config instead, so only the document requires it. */
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
    deadline_seconds: Type.Optional({
      ...DeadlineSeconds,
      description:
        'The VM is deleted so long after the request, whatever it does then; it stays when absent',
    }),
    config: Type.Optional(Nullable(VmConfigSchema)),
  },
  { $id: 'CreateVM', documented: { required: ['name', 'plugin'] } },
);

export type CreateVmRequest = Static<typeof CreateVmSchema>;
