// http, routes: VMs.

import { LIMITS } from '../../config/limits.ts';
import type {
  VmApi,
  VmListQuery,
  VmPage,
  VmWaitFor,
  WaitOptions,
} from '../../engine/engine-api.ts';
import { VolantError } from '../../lib/errors.ts';
import {
  type CreateVmRequest,
  VM_SORT_KEYS,
  VM_STATUSES,
  type VmDeadline,
} from '../../schema/vm.ts';
import { nameIn, type RequestHead } from '../exchange/exchange.ts';
import { Query } from '../exchange/query.ts';
import { empty, json, jsonText, type Reply } from '../exchange/reply.ts';
import { requested } from '../exchange/request-id.ts';
import { vmWaitOptionsIn } from '../exchange/wait-options.ts';
import type { Handlers } from '../handlers.ts';
import { utf8 } from '../uws.ts';

export const vmRoutes = {
  listVMs: ({ engine }, head) => {
    const query = listQuery(head);
    if ((query.limit ?? Number.POSITIVE_INFINITY) > LIMITS.listWholeMax) {
      return listOfAnyLength(engine.vms, query);
    }
    const page = engine.vms.list(query);
    return page instanceof Promise ? page.then(pageReply) : pageReply(page);
  },
  createVM: async ({ engine }, head, body) => {
    const request = body as CreateVmRequest;
    const query = new Query(head.query);
    const options = vmWaitOptionsIn(query);
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
  getVMEgress: async ({ engine }, head) => json(200, await engine.egress.status(nameIn(head))),
  listVMOperations: ({ engine }, head) => json(200, engine.vms.operations(nameIn(head))),
  getVMResult: ({ engine }, head) => json(200, engine.vms.result(nameIn(head))),
  setVMDeadline: async ({ engine }, head, body) => {
    const { seconds } = body as VmDeadline;
    return jsonText(200, await engine.vms.setDeadline(nameIn(head), seconds, requested(head)));
  },
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
    const options = vmWaitOptionsIn(query);
    const graceMs = graceMsIn(query);
    query.throwProblems();
    const body = await engine.vms.restart(nameIn(head), options, graceMs, requested(head));
    return jsonText(answerStatus(options), body);
  },
} satisfies Partial<Handlers>;

/** Encoded answers of pages that the engine still caches: encoding one costs as much as the rest of the request. */
const pageReplies = new WeakMap<VmPage, Reply>();

function pageReply(page: VmPage): Reply {
  const known = pageReplies.get(page);
  if (known !== undefined) return known;
  const { body, total } = page;
  const reply = { status: 200, body, bytes: utf8(body), headers: totalHeader(total) };
  pageReplies.set(page, reply);
  return reply;
}

function totalHeader(total: number): Readonly<Record<string, string>> {
  return { 'X-Total-Count': String(total) };
}

/** A short list is sent as a whole, a long one in pieces. */
async function listOfAnyLength(vms: VmApi, query: VmListQuery): Promise<Reply> {
  const { total, count, pieces } = await vms.stream(query);
  if (count <= LIMITS.listWholeMax) {
    pieces.return?.();
    return pageReply(await vms.list(query));
  }
  return { status: 200, pieces, headers: totalHeader(total) };
}

function waitOptionsOf(head: RequestHead): WaitOptions<VmWaitFor> | undefined {
  const query = new Query(head.query);
  const options = vmWaitOptionsIn(query);
  query.throwProblems();
  return options;
}

function graceMsOf(head: RequestHead): number | undefined {
  const query = new Query(head.query);
  const graceMs = graceMsIn(query);
  query.throwProblems();
  return graceMs;
}

/** undefined if the client does not send it. */
function graceMsIn(query: Query): number | undefined {
  const seconds = query.count('grace_seconds', LIMITS.graceSecondsMax);
  return seconds === undefined ? undefined : seconds * 1000;
}

/** 202 if the client waits only for acceptance: the operation is not complete then. */
function answerStatus(options: WaitOptions<VmWaitFor> | undefined): number {
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
