// schema, operations: VMs.

import { Type } from 'typebox';
import { LIMITS } from '../../config/limits.ts';
import { EgressStatusSchema } from '../egress.ts';
import { Int64, Word } from '../parts.ts';
import {
  CreateVmSchema,
  VM_SORT_KEYS,
  VM_STATUSES,
  VmDeadlineSchema,
  VmOperationSchema,
  VmResultSchema,
  VmSchema,
} from '../vm.ts';
import {
  DRY_RUN,
  errors,
  graceParameter,
  type Operation,
  type OperationAnswer,
  VM_WAIT,
} from './operation.ts';

const STOP_GRACE = graceParameter(
  `default: stop_grace_seconds of the config or manifest, otherwise ${LIMITS.stopGraceMs / 1000}`,
);

const vmAnswer = (description: string): OperationAnswer => ({ description, schema: VmSchema });

export const VM_OPERATIONS = {
  listVMs: {
    scope: 'read',
    method: 'GET',
    path: '/api/v1/vms',
    tags: ['vm'],
    summary: 'List VMs',
    query: [
      {
        name: 'status',
        description: 'Any of these statuses; repeated or separated by commas',
        schema: Type.Array(Word(VM_STATUSES)),
      },
      { name: 'runtime', description: 'Equal, ignoring case', schema: Type.String() },
      { name: 'plugin', description: 'Equal, ignoring case', schema: Type.String() },
      { name: 'q', description: 'Part of the name, address or runtime', schema: Type.String() },
      {
        name: 'sort',
        description: 'created_at when absent',
        schema: Word(VM_SORT_KEYS),
      },
      { name: 'order', description: 'asc when absent', schema: Word(['asc', 'desc']) },
      {
        name: 'limit',
        description: '0 returns only the count',
        schema: Int64(),
      },
      { name: 'offset', description: 'Number of VMs to skip', schema: Int64() },
    ],
    answers: {
      200: {
        description: 'Array of VMs',
        schema: Type.Array(VmSchema),
        headers: {
          'X-Total-Count': {
            description: 'Number of matching VMs before limit and offset',
            schema: Int64(),
          },
        },
      },
      ...errors(400, 500),
    },
  },
  createVM: {
    scope: 'operate',
    method: 'POST',
    path: '/api/v1/vms',
    tags: ['vm'],
    summary: 'Create VM',
    description: 'Answers when the hypervisor runs and its control socket has answered.',
    query: [...VM_WAIT, DRY_RUN],
    request: { schema: CreateVmSchema, bytesMax: LIMITS.manifestBytesMax },
    answers: {
      200: vmAnswer('VM as it would be (dry_run=true)'),
      201: vmAnswer('VM created'),
      202: vmAnswer('VM accepted (wait=accepted)'),
      ...errors(400, 404, 408, 409, 413, 500, 503),
    },
  },
  getVMByName: {
    scope: 'read',
    method: 'GET',
    path: '/api/v1/vms/{name}',
    tags: ['vm'],
    summary: 'Fetch VM by name',
    answers: { 200: vmAnswer('VM'), ...errors(404, 500) },
  },
  getVMEgress: {
    scope: 'read',
    method: 'GET',
    path: '/api/v1/vms/{name}/egress',
    tags: ['vm'],
    summary: 'Get egress rules and counters of a VM',
    description: 'Change the rules by network.egress of its config.',
    answers: {
      200: { description: 'Rules and counters', schema: EgressStatusSchema },
      ...errors(404, 500, 503),
    },
  },
  listVMOperations: {
    scope: 'read',
    method: 'GET',
    path: '/api/v1/vms/{name}/operations',
    tags: ['vm'],
    summary: 'List the operations on a VM',
    description:
      'Newest first: each request and each repair by the daemon, with its steps, how long they took and why they failed. A bounded number is kept until the VM is deleted.',
    answers: {
      200: { description: 'Operations', schema: Type.Array(VmOperationSchema) },
      ...errors(404, 500),
    },
  },
  getVMResult: {
    scope: 'read',
    method: 'GET',
    path: '/api/v1/vms/{name}/result',
    tags: ['vm'],
    summary: 'Get the result that a guest has posted',
    description:
      'The newest one that was posted to the metadata service of the guest. It is kept until the VM is deleted.',
    answers: {
      200: { description: 'Result', schema: VmResultSchema },
      ...errors(404, 500),
    },
  },
  setVMDeadline: {
    scope: 'operate',
    method: 'PUT',
    path: '/api/v1/vms/{name}/deadline',
    tags: ['vm'],
    summary: 'Set when a VM is deleted',
    description: 'It is deleted then, whatever it does. A create sets it by deadline_seconds.',
    request: { schema: VmDeadlineSchema, bytesMax: LIMITS.bodyBytesMax },
    answers: { 200: vmAnswer('VM with its deadline'), ...errors(400, 404, 409, 413, 500, 503) },
  },
  destroyVM: {
    scope: 'operate',
    method: 'DELETE',
    path: '/api/v1/vms/{name}',
    tags: ['vm'],
    summary: 'Destroy VM',
    description:
      'The data of the guest is deleted, so its grace period is short, and zero while it boots.',
    query: [graceParameter(`default: at most ${LIMITS.deleteGraceMs / 1000}`)],
    answers: { 204: { description: 'Deleted' }, ...errors(400, 404, 409, 500, 503) },
  },
  startVM: {
    scope: 'operate',
    method: 'POST',
    path: '/api/v1/vms/{name}/start',
    tags: ['vm'],
    summary: 'Start a stopped VM',
    query: VM_WAIT,
    answers: {
      200: vmAnswer('VM started'),
      202: vmAnswer('Start accepted (wait=accepted)'),
      ...errors(400, 404, 408, 409, 500, 503),
    },
  },
  stopVM: {
    scope: 'operate',
    method: 'POST',
    path: '/api/v1/vms/{name}/stop',
    tags: ['vm'],
    summary: 'Stop a running VM',
    description: 'The guest is asked to power off first. Stopping a stopped VM changes nothing.',
    query: [STOP_GRACE],
    answers: { 200: vmAnswer('VM stopped'), ...errors(400, 404, 409, 500, 503) },
  },
  restartVM: {
    scope: 'operate',
    method: 'POST',
    path: '/api/v1/vms/{name}/restart',
    tags: ['vm'],
    summary: 'Restart a VM',
    query: [...VM_WAIT, STOP_GRACE],
    answers: {
      200: vmAnswer('VM restarted'),
      202: vmAnswer('Restart accepted (wait=accepted)'),
      ...errors(400, 404, 408, 409, 500, 503),
    },
  },
} as const satisfies Record<string, Operation>;
