// http, routes: VMs.

import { LIMITS } from '../../config.ts';
import type { VmListQuery, WaitOptions } from '../../engine/engine-api.ts';
import { VolantError } from '../../lib/errors.ts';
import { type CreateVmRequest, VM_SORT_KEYS, VM_STATUSES } from '../../schema/vm.ts';
import type { RequestHead } from '../exchange.ts';
import type { Handlers } from '../handlers.ts';
import { Query } from '../query.ts';
import { empty, json, jsonText } from '../reply.ts';
import { requested } from '../request-id.ts';
import { waitOptionsIn } from '../wait-options.ts';

export const vmRoutes = {
  listVMs: ({ engine }, head) => {
    const { body, total } = engine.vms.list(listQuery(head));
    return { status: 200, body, headers: { 'X-Total-Count': String(total) } };
  },
  createVM: async ({ engine }, head, body) => {
    const request = body as CreateVmRequest;
    const query = new Query(head.query);
    const options = waitOptionsIn(query, 'running');
    const isDryRun = query.flag('dry_run');
    query.throwProblems();
    if (isDryRun) return json(200, await engine.vms.planCreate(request));
    const vm = await engine.vms.create(request, options, requested(head));
    return jsonText(options?.wait === 'accepted' ? 202 : 201, vm);
  },
  getVMByName: ({ engine }, head) => {
    const name = nameIn(head);
    const body = engine.vms.get(name);
    if (body === undefined) throw new VolantError('VM_NOT_FOUND', `There is no VM named ${name}`);
    return jsonText(200, body);
  },
  listVMOperations: ({ engine }, head) => json(200, engine.vms.operations(nameIn(head))),
  destroyVM: async ({ engine }, head) => {
    await engine.vms.destroy(nameIn(head), graceMsOf(head), requested(head));
    return empty(204);
  },
  startVM: async ({ engine }, head) => {
    const options = waitOptionsOf(head);
    const body = await engine.vms.start(nameIn(head), options, requested(head));
    return jsonText(answerStatus(options), body);
  },
  stopVM: async ({ engine }, head) =>
    jsonText(200, await engine.vms.stop(nameIn(head), graceMsOf(head), requested(head))),
  restartVM: async ({ engine }, head) => {
    const query = new Query(head.query);
    const options = waitOptionsIn(query, 'running');
    const graceMs = graceMsIn(query);
    query.throwProblems();
    const body = await engine.vms.restart(nameIn(head), options, graceMs, requested(head));
    return jsonText(answerStatus(options), body);
  },
} satisfies Partial<Handlers>;

function nameIn(head: RequestHead): string {
  return head.parameters[0] ?? '';
}

function waitOptionsOf(head: RequestHead): WaitOptions | undefined {
  const query = new Query(head.query);
  const options = waitOptionsIn(query, 'running');
  query.throwProblems();
  return options;
}

function graceMsOf(head: RequestHead): number | undefined {
  const query = new Query(head.query);
  const graceMs = graceMsIn(query);
  query.throwProblems();
  return graceMs;
}

/** undefined when the client says nothing. */
function graceMsIn(query: Query): number | undefined {
  const seconds = query.count('grace_seconds', LIMITS.graceSecondsMax);
  return seconds === undefined ? undefined : seconds * 1000;
}

/** Accepted is not done. */
function answerStatus(options: WaitOptions | undefined): number {
  return options?.wait === 'accepted' ? 202 : 200;
}

function listQuery(head: RequestHead): VmListQuery {
  const query = new Query(head.query);
  const limit = query.count('limit');
  const runtime = query.text('runtime');
  const plugin = query.text('plugin');
  const text = query.text('q');
  const list: VmListQuery = {
    statuses: query.choices('status', VM_STATUSES),
    sort: query.choice('sort', VM_SORT_KEYS, 'created_at'),
    descending: query.choice('order', ['asc', 'desc'], 'asc') === 'desc',
    offset: query.count('offset') ?? 0,
    ...(limit === undefined ? {} : { limit }),
    ...(runtime === undefined ? {} : { runtime }),
    ...(plugin === undefined ? {} : { plugin }),
    ...(text === undefined ? {} : { text }),
  };
  query.throwProblems();
  return list;
}
