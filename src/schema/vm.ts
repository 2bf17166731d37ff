// schema: the VM as the API shows it, and the request that makes one. Nouns only: what an operation
// does with them is the engine's business.

import { type Static, Type } from 'typebox';
import { ConditionSchema } from './condition.ts';
import { Name, Nullable } from './parts.ts';
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

export type VmStatus = (typeof VM_STATUSES)[number];

export const VmOperationSchema = Type.Object(
  {
    number: Type.Integer(),
    kind: Type.String({
      description: 'create, start, stop, restart, delete; reconcile: nobody asked for it',
    }),
    cause: Type.String({
      description:
        'request, deployment (its number of replicas or its config), exit (of the hypervisor), daemon (a reason of its own)',
    }),
    request_id: Type.Optional(
      Type.String({ description: 'X-Request-Id of the request that is behind it' }),
    ),
    started_at: Type.String({ format: 'date-time' }),
    ended_at: Nullable(Type.String({ format: 'date-time' })),
    outcome: Type.String({ description: 'running, done, failed, superseded' }),
    error: Nullable(Type.String()),
    steps: Type.Array(
      Type.Object({
        step: Type.String(),
        times: Type.Integer({ description: 'In a row, with the same result' }),
        duration_ms: Type.Integer({ description: 'Of the last time' }),
        error: Nullable(Type.String()),
      }),
    ),
  },
  { description: 'What was done for a VM' },
);

export const VmSchema = Type.Object(
  {
    id: Type.Integer({ format: 'int64', description: 'Never reused' }),
    name: Type.String(),
    status: Type.String({ description: VM_STATUSES.join(', ') }),
    status_reason: Type.Optional(
      Type.String({
        description: 'Why it is not further, while it waits for something, or how it crashed',
      }),
    ),
    conditions: Type.Array(ConditionSchema, {
      description:
        'What is known of a VM that runs or has crashed: true is as it should be. One that is not listed is not known, or does not apply',
    }),
    runtime: Type.String(),
    plugin: Type.String(),
    pid: Type.Optional(
      Type.Integer({
        format: 'int64',
        description: 'Process id of the hypervisor; absent when none runs',
      }),
    ),
    ip_address: Type.String({ description: 'Empty without a bridged network' }),
    mac_address: Type.String(),
    vsock_cid: Type.Integer(),
    cpu_cores: Type.Integer(),
    memory_mb: Type.Integer({ description: 'MiB' }),
    kernel_cmdline: Type.String({ description: 'Without the volant.* arguments' }),
    serial_socket: Type.String({
      description: 'Absolute path of the console, a unix socket on the host',
    }),
    created_at: Type.String({ format: 'date-time' }),
    updated_at: Type.String({ format: 'date-time' }),
  },
  { description: 'A virtual machine' },
);

export type Vm = Static<typeof VmSchema>;

export const CreateVmSchema = Type.Object({
  name: Name,
  plugin: Type.Optional(Type.String()),
  runtime: Type.Optional(Type.String()),
  cpu_cores: Type.Optional(Type.Integer({ minimum: 0, description: '0 means: not set' })),
  memory_mb: Type.Optional(Type.Integer({ minimum: 0, description: 'MiB; 0 means: not set' })),
  kernel_cmdline: Type.Optional(Type.String({ description: 'Added to the kernel command line' })),
  api_host: Type.Optional(Type.String()),
  api_port: Type.Optional(Type.String()),
  config: Type.Optional(Nullable(VmConfigSchema)),
});

export type CreateVmRequest = Static<typeof CreateVmSchema>;
