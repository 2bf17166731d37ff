// http, exchange: the id of a request, from its head to everything that it causes.

import assert from 'node:assert/strict';
import { type IncomingHttpHeaders, request } from 'node:http';
import { test } from 'node:test';
import { toApiError } from '../../../src/client/errors.ts';
import { LIMITS } from '../../../src/config/limits.ts';
import type { Cause } from '../../../src/engine/engine-api.ts';
import { EVERY_ROUTE, type RouteRequest } from '../every-route.ts';
import { createFakeEngine, vmRecord } from '../fake-engine.ts';
import { ask, inTime, startServer } from '../harness.ts';
import { type Served, serve, until } from '../served.ts';

const HEADER = 'x-request-id';

/** The head of an answer, which may continue forever: a stream, or another protocol. */
function headOf(port: number, { target, headers = {}, body }: RouteRequest) {
  const [method = '', path = ''] = target.split(' ');
  const answer = new Promise<IncomingHttpHeaders>((resolve, reject) => {
    const client = request({ port, method, path, agent: false, headers });
    client.once('response', (response) => {
      resolve(response.headers);
      client.destroy();
    });
    client.once('upgrade', (response, socket) => {
      resolve(response.headers);
      socket.destroy();
    });
    client.on('error', reject);
    client.end(body);
  });
  return inTime(answer, target);
}

test('every answer has the id that its client gave, and another one otherwise', async (t) => {
  const served = await serve(t, { agent: (_, answer) => void answer.end('{}') });
  const made = new Set<string>();
  for (const route of EVERY_ROUTE) {
    const headers = { ...route.headers, [HEADER]: 'given/by-a.client:1' };
    const given = await headOf(served.port, { ...route, headers });
    assert.equal(given[HEADER], 'given/by-a.client:1', route.target);
    const { [HEADER]: id } = await headOf(served.port, route);
    assert.match(String(id), /^[\w-]{5,40}$/, route.target);
    made.add(String(id));
  }
  assert.equal(made.size, EVERY_ROUTE.length);
});

test('so have refusals before any route, and what is not well formed is not taken over', async (t) => {
  const { port } = await serve(t, { settings: { VOLANT_API_KEY: 'secret' } });
  const long = 'x'.repeat(LIMITS.requestIdCharactersMax);
  const refused: readonly Record<string, string>[] = [
    {},
    { Host: 'evil.example' },
    { Origin: 'http://evil.example' },
  ];
  for (const headers of refused) {
    const answer = await headOf(port, {
      target: 'GET /api/v1/vms',
      headers: { ...headers, [HEADER]: long },
    });
    assert.equal(answer[HEADER], long);
  }
  for (const id of [`${long}x`, 'two words', 'a"b', 'a,b', '<a>', 'ä', '{}']) {
    const headers = { [HEADER]: Buffer.from(id).toString('latin1') };
    const { [HEADER]: own } = await headOf(port, { target: 'GET /api/v1/vms', headers });
    assert.match(String(own), /^[\da-f]{10}-\d+$/, id);
  }
});

test('a guest gets the id, and does not choose that of the answer', async (t) => {
  const told: unknown[] = [];
  const { port } = await serve(t, {
    agent: (asked, answer) => {
      told.push(asked.headers[HEADER]);
      answer.writeHead(200, { [HEADER]: 'the guest' }).end();
    },
  });
  const target = 'GET /api/v1/vms/one/agent/v1/';
  const given = await headOf(port, { target, headers: { [HEADER]: 'mine' } });
  const { [HEADER]: made } = await headOf(port, { target });
  assert.equal(given[HEADER], 'mine');
  assert.deepEqual(told, ['mine', made]);
});

/** Bodies of what changes something, and of tools that do. */
const CHANGES: readonly (readonly [target: string, body?: object])[] = [
  ['POST /api/v1/vms', { name: 'two', plugin: 'hello' }],
  ['POST /api/v1/vms/one/stop'],
  ['POST /api/v1/vms/one/start'],
  ['POST /api/v1/vms/one/restart'],
  ['PATCH /api/v1/vms/one/config', { metadata: { a: 1 } }],
  ['DELETE /api/v1/vms/one'],
  ['POST /api/v1/deployments', { name: 'web', config: { plugin: 'hello' } }],
  ['PATCH /api/v1/deployments/web', { replicas: 1 }],
  ['DELETE /api/v1/deployments/web'],
  ['POST /api/v1/plugins/hello/enabled', { enabled: false }],
  ['DELETE /api/v1/plugins/hello'],
  ['POST /api/v1/vfio/devices/bind', { pci_addresses: ['0000:00:01.0'] }],
  ['POST /api/v1/vfio/devices/unbind', { pci_addresses: ['0000:00:01.0'] }],
];

const TOOLS: readonly (readonly [tool: string, args: object])[] = [
  ['volant.vms.create', { name: 'three', plugin: 'hello' }],
  ['volant.vms.stop', { name: 'one' }],
  ['volant.vms.start', { name: 'one' }],
  ['volant.vms.restart', { name: 'one' }],
  ['volant.vms.config.patch', { name: 'one', patch: { metadata: { a: 1 } } }],
  ['volant.vms.delete', { name: 'one' }],
  ['volant.deployments.create', { name: 'web', config: { plugin: 'hello' } }],
  ['volant.deployments.scale', { name: 'web', replicas: 1 }],
  ['volant.deployments.delete', { name: 'web' }],
  ['volant.plugins.enable', { name: 'hello' }],
  ['volant.plugins.remove', { name: 'hello' }],
  ['volant.devices.bind', { pci_addresses: ['0000:00:01.0'] }],
  ['volant.devices.unbind', { pci_addresses: ['0000:00:01.0'] }],
];

/** Parts that remember the cause of each change, which is their last argument. */
function rememberingEngine(causes: (Cause | undefined)[]) {
  const act =
    (result: object) =>
    async (...given: unknown[]) => {
      causes.push(given.at(-1) as Cause);
      return result as never;
    };
  const devices = { bind: act([]), unbind: act({ done: [], failure: null }) };
  const deployments = { create: act({}), patch: act({}), remove: act({}) };
  const plugins = { setEnabled: act({}), remove: act({}) };
  const body = act('{}' as unknown as object);
  const vms = { create: body, start: body, stop: body, restart: body, destroy: body };
  const configs = { patch: act({ version: 2 }) };
  const fake = createFakeEngine({ vms, configs, deployments, plugins, devices });
  fake.vms.put(vmRecord(1, 'one'));
  return fake;
}

test('every change carries the request and client that it is for, those of tools, too', async (t) => {
  const causes: (Cause | undefined)[] = [];
  const server = await startServer(t, { fake: rememberingEngine(causes) });
  const expected: Cause[] = [];
  const client = 'address 127.0.0.1';
  for (const [target, body] of CHANGES) {
    const options = body === undefined ? {} : { body: JSON.stringify(body) };
    const { status, headers } = await ask(server, target, options);
    assert.ok(status < 300, `${target} ${status}`);
    expected.push({ by: 'request', requestId: String(headers[HEADER]), client });
    assert.deepEqual(causes.at(-1), expected.at(-1), target);
  }
  for (const [tool, args] of TOOLS) {
    const params = { name: tool, arguments: args };
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params });
    const { headers } = await ask(server, 'POST /api/v1/mcp', { body });
    expected.push({ by: 'request', requestId: String(headers[HEADER]), client });
    assert.deepEqual(causes.at(-1), expected.at(-1), tool);
  }
  assert.deepEqual(causes, expected);
});

const asked = (served: Served, method: string, path: string, id: string, body?: object) =>
  fetch(served.url + path, {
    method,
    headers: { [HEADER]: id },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });

test('events and operations have the id of the request behind them', async (t) => {
  const served = await serve(t);
  await asked(served, 'POST', '/api/v1/vms', 'making', { name: 'web', plugin: 'hello' });
  await asked(served, 'POST', '/api/v1/vms/web/restart', 'again');
  const operations = await asked(served, 'GET', '/api/v1/vms/web/operations', 'looking');
  const told = (await operations.json()) as Record<string, unknown>[];
  assert.deepEqual(
    told.map(({ kind, cause, request_id }) => [kind, cause, request_id].join(' ')),
    ['restart request again', 'create request making'],
  );
  await asked(served, 'DELETE', '/api/v1/vms/web', 'gone');
  const bodies = served.world.store.events.map(({ body }) => body);
  assert.deepEqual(
    bodies
      .filter(({ name }) => name === 'web')
      .map(({ type, request_id }) => `${type} ${request_id}`),
    [
      'VM_CREATED making',
      'VM_RUNNING making',
      'VM_STOPPING again',
      'VM_STOPPED again',
      'VM_STARTING again',
      'VM_RUNNING again',
      'VM_DELETING gone',
      'VM_DELETED gone',
    ],
  );
});

test('lines of the log have it, also those that are written when the answer is long past', async (t) => {
  const fake = createFakeEngine({
    vms: {
      get: () => {
        throw new Error('broken');
      },
    },
  });
  const server = await startServer(t, { fake });
  const answer = await ask(server, 'GET /api/v1/vms/one', { headers: { [HEADER]: 'lost' } });
  assert.equal(answer.status, 500);
  const lines = server.log.filter(({ level }) => level === 'error');
  assert.deepEqual(
    lines.map(({ bindings }) => (bindings as { request_id?: string }).request_id),
    ['lost'],
  );
});

test('a client has the id of an answer that is an error', async (t) => {
  const served = await serve(t);
  const error = await toApiError(await asked(served, 'GET', '/api/v1/vms/none', 'seek'));
  assert.deepEqual([error.code, error.requestId], ['VM_NOT_FOUND', 'seek']);
});

test('what a deployment does for its replicas has the id of who asked for it, until it is done', async (t) => {
  const served = await serve(t);
  const config = { plugin: 'hello' };
  await asked(served, 'POST', '/api/v1/deployments', 'first', { name: 'web', replicas: 1, config });
  const { engine, world } = served;
  const { pid } = JSON.parse(engine.vms.get('web-1') ?? '{}');
  const seen = (type: string) => world.store.events.filter(({ body }) => body.type === type);
  await until(() => seen('DEPLOYMENT_AVAILABLE').length === 1);
  world.host.processes.get(pid)?.end({ code: null, signal: 'SIGKILL' });
  await until(() => seen('VM_CREATED').length === 3);
  await asked(served, 'DELETE', '/api/v1/deployments/web', 'last');
  const told = world.store.events.map(({ body }) => body).filter(({ name }) => name !== 'one');
  const ids = Object.fromEntries(told.map(({ type, request_id }) => [type, request_id]));
  assert.deepEqual(
    [seen('VM_CREATED')[1]?.body.request_id, ids['DEPLOYMENT_CREATED']],
    ['first', 'first'],
  );
  assert.deepEqual([ids['VM_CRASHED'], ids['VM_CREATED']], [undefined, undefined]);
  assert.deepEqual(
    [ids['DEPLOYMENT_DELETING'], ids['VM_DELETED'], ids['DEPLOYMENT_DELETED']],
    ['last', 'last', 'last'],
  );
});
