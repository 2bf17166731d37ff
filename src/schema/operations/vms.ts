// schema, operations: VMs.

import { Type } from 'typebox';
import { LIMITS } from '../../config.ts';
import { Int64, Word } from '../parts.ts';
import { CreateVmSchema, VM_SORT_KEYS, VM_STATUSES, VmOperationSchema, VmSchema } from '../vm.ts';
import {
  DRY_RUN,
  errors,
  graceParameter,
  type Operation,
  type OperationAnswer,
  WAIT,
} from './operation.ts';

const STOP_GRACE = graceParameter(
  `without it stop_grace_seconds of config or manifest, else ${LIMITS.stopGraceMs / 1000}`,
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
        description: 'Any of these; repeated or separated by commas',
        schema: Type.Array(Word(VM_STATUSES)),
      },
      { name: 'runtime', description: 'Equal, ignoring case', schema: Type.String() },
      { name: 'plugin', description: 'Equal, ignoring case', schema: Type.String() },
      { name: 'q', description: 'Part of name, address or runtime', schema: Type.String() },
      {
        name: 'sort',
        description: 'created_at when absent',
        schema: Word(VM_SORT_KEYS),
      },
      { name: 'order', description: 'asc when absent', schema: Word(['asc', 'desc']) },
      {
        name: 'limit',
        description: '0 answers no VMs but the count',
        schema: Int64(),
      },
      { name: 'offset', description: 'VMs to skip', schema: Int64() },
    ],
    answers: {
      200: {
        description: 'Array of VMs',
        schema: Type.Array(VmSchema),
        headers: {
          'X-Total-Count': {
            description: 'Matching VMs before limit and offset',
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
    description: 'Answers when the hypervisor runs and its control socket answered.',
    query: [...WAIT, DRY_RUN],
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
  listVMOperations: {
    scope: 'read',
    method: 'GET',
    path: '/api/v1/vms/{name}/operations',
    tags: ['vm'],
    summary: 'What was done for a VM',
    description:
      'Newest first: each request and each thing that the daemon put in line by itself, with its steps, how long they took and why they failed. A bounded number is kept, until the VM is deleted.',
    answers: {
      200: { description: 'Operations', schema: Type.Array(VmOperationSchema) },
      ...errors(404, 500),
    },
  },
  destroyVM: {
    scope: 'operate',
    method: 'DELETE',
    path: '/api/v1/vms/{name}',
    tags: ['vm'],
    summary: 'Destroy VM',
    description:
      'Nothing of the guest is kept, so it gets little time to power off, and none while it boots.',
    query: [graceParameter(`without it at most ${LIMITS.deleteGraceMs / 1000}`)],
    answers: { 204: { description: 'Deleted' }, ...errors(400, 404, 409, 500, 503) },
  },
  startVM: {
    scope: 'operate',
    method: 'POST',
    path: '/api/v1/vms/{name}/start',
    tags: ['vm'],
    summary: 'Start a stopped VM',
    query: WAIT,
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
    query: [...WAIT, STOP_GRACE],
    answers: {
      200: vmAnswer('VM restarted'),
      202: vmAnswer('Restart accepted (wait=accepted)'),
      ...errors(400, 404, 408, 409, 500, 503),
    },
  },
} as const satisfies Record<string, Operation>;
