// e2e: the OpenAPI document of a real daemon against its answers: every operation, with its success and its errors.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { LIMITS } from '../../src/config/limits.ts';
import { buildOpenApi } from '../../src/schema/openapi/openapi.ts';
import type { Operation } from '../../src/schema/operations/operation.ts';
import { OPERATIONS } from '../../src/schema/operations.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { DocumentChecker } from '../helpers/document.ts';
import { type Answer, type Daemon, startDaemon } from './daemon.ts';
import { FakeSysfs } from './fake-sysfs.ts';

const DEVICE = '0000:01:00.0';
const VM = '/api/v1/vms/one';
const NAME = { name: 'one', plugin: 'hello' };
const CONFIG = { plugin: 'hello', resources: { cpu_cores: 1, memory_mb: 64 } };

interface Call {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Asks and checks the answer. */
type Ask = (request: string, call?: Call) => Promise<Answer>;

async function checked(daemon: Daemon): Promise<{ ask: Ask; checker: DocumentChecker }> {
  const document = await daemon.call('GET', '/openapi');
  const checker = new DocumentChecker(document.body);
  const ask: Ask = async (request, { body, headers = {} } = {}) => {
    const [method = '', path = ''] = request.split(' ');
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const response = await fetch(daemon.url + path, {
      method,
      headers,
      ...(text === undefined ? {} : { body: text }),
    });
    const answer = await response.text();
    const { status, headers: given } = response;
    const problems = checker.check(method, path, { status, headers: given, text: answer });
    assert.deepEqual(problems, [], `${request} ${status}: ${answer.slice(0, 2000)}`);
    const isJson = given.get('content-type')?.startsWith('application/json');
    const value = isJson && answer !== '' ? JSON.parse(answer) : undefined;
    return { status, headers: given, text: answer, body: value };
  };
  return { ask, checker };
}

async function expect(ask: Ask, expected: Readonly<Record<string, number>>, call?: Call) {
  for (const [request, status] of Object.entries(expected)) {
    const answer = await ask(request, call);
    assert.equal(answer.status, status, `${request}: ${answer.text}`);
  }
}

/** The data of all events so far. */
async function eventsOf(daemon: Daemon, path: string): Promise<readonly unknown[]> {
  const response = await fetch(`${daemon.url}${path}?after=0`);
  assert.equal(response.headers.get('content-type'), 'text/event-stream');
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  let text = '';
  while (!text.includes('"DEPLOYMENT_DELETED"')) {
    const part = await reader?.read();
    if (part === undefined || part.done) break;
    text += decoder.decode(part.value, { stream: true });
  }
  await reader?.cancel();
  return text
    .split('\n')
    .filter((line) => line.startsWith('data: ') && line.endsWith('}'))
    .map((line) => JSON.parse(line.slice(6)));
}

async function vms(daemon: Daemon, ask: Ask): Promise<void> {
  const create = 'POST /api/v1/vms';
  await expect(ask, { [`${create}?dry_run=true`]: 200 }, { body: NAME });
  const keyed = { body: NAME, headers: { 'Idempotency-Key': 'a' } };
  assert.equal((await ask(create, keyed)).status, 201);
  assert.equal((await ask(create, keyed)).headers.get('idempotent-replayed'), 'true');
  await expect(ask, { [create]: 422 }, { ...keyed, body: { ...NAME, name: 'other' } });
  await expect(ask, { [create]: 409 }, { body: NAME });
  await expect(ask, { [create]: 404 }, { body: { name: 'b', plugin: 'nosuch' } });
  await expect(ask, { [create]: 400 }, { body: { name: 'B', memory_mb: 1e300 } });
  await expect(ask, { [create]: 400, [`${create}?dry_run`]: 400 }, { body: '{' });
  await expect(ask, { [`${create}?wait=accepted`]: 202 }, { body: { ...NAME, name: 'two' } });
  // What is taken in other forms is answered in the form of the document.
  const config = {
    network: { mode: ' BRIDGED ', ip_address: '' },
    expose: [
      { port: 80, host_port: 28_112, protocol: 'UDP' },
      { port: 80, host_port: 28_113, protocol: '' },
    ],
    rootfs: { url: '', format: '', checksum: ' ' },
    cloud_init: { seed_mode: 'VFAT' },
    devices: { allowlist: [' 10DE:* '] },
  };
  await expect(ask, { [create]: 201 }, { body: { ...NAME, name: 'odd', config } });
  await expect(ask, { 'GET /api/v1/vms/odd/config': 200 });
  await expect(ask, { [create]: 400 }, { body: NAME, headers: { 'Idempotency-Key': 'a b' } });
  await expect(ask, { [create]: 201 }, { body: { ...NAME, name: 'short', deadline_seconds: 60 } });
  await expect(ask, { 'PUT /api/v1/vms/short/deadline': 200 }, { body: { seconds: 3600 } });
  await expect(ask, { 'PUT /api/v1/vms/short/deadline': 200 }, { body: { seconds: null } });
  await expect(ask, { 'PUT /api/v1/vms/nosuch/deadline': 404 }, { body: { seconds: 60 } });
  await expect(ask, { 'PUT /api/v1/vms/short/deadline': 400 }, { body: { seconds: 0 } });
  await expect(ask, { 'DELETE /api/v1/vms/short': 204 });
  await expect(ask, { [create]: 413 }, { body: 'x'.repeat(LIMITS.manifestBytesMax + 1) });
  await expect(ask, {
    'GET /api/v1/vms': 200,
    'GET /api/v1/vms?status=running&status=stopped&sort=name&order=desc&limit=1&offset=0': 200,
    'GET /api/v1/vms?limit=ten&status=bogus': 400,
    [`GET ${VM}`]: 200,
    'GET /api/v1/vms/nosuch': 404,
    [`PUT ${VM}/deadline`]: 400,
    [`POST ${VM}/stop?grace_seconds=x`]: 400,
    [`POST ${VM}/stop`]: 200,
    [`POST ${VM}/restart?wait=accepted`]: 202,
    [`POST ${VM}/restart?wait=nowhere`]: 400,
  });
  await daemon.waitFor('one', 'running');
  await expect(ask, {
    [`POST ${VM}/start?wait=ready&timeout=1`]: 409,
    [`POST ${VM}/restart`]: 200,
    'POST /api/v1/vms/nosuch/start': 404,
    [`GET ${VM}/operations`]: 200,
    'GET /api/v1/vms/nosuch/operations': 404,
    [`GET ${VM}/result`]: 404,
    'GET /api/v1/vms/nosuch/result': 404,
    [`GET ${VM}/openapi`]: 404,
    [`GET ${VM}/console-log`]: 200,
    'GET /api/v1/vms/nosuch/console-log': 404,
    // The simulator has no agent.
    [`GET ${VM}/files/f`]: 409,
    [`GET ${VM}/files/f?format=none`]: 400,
    [`PUT ${VM}/files/f`]: 409,
    [`PATCH ${VM}/files/f?to=/g`]: 409,
    [`DELETE ${VM}/files/f`]: 409,
    [`GET ${VM}/files-watch?path=/srv&recursive=true`]: 409,
    [`GET ${VM}/files-watch?recursive=perhaps`]: 400,
    'GET /api/v1/vms/nosuch/files-watch?path=/': 404,
    'GET /api/v1/vms/nosuch/files/f': 404,
  });
  await expect(ask, { [`POST ${VM}/actions/hello/nosuch`]: 404 }, { body: {} });
}

async function figures(ask: Ask): Promise<void> {
  await expect(ask, {
    'GET /metrics': 200,
    'GET /api/v1/system/load': 200,
    'GET /api/v1/stats/vms': 200,
    'GET /api/v1/stats/vms?limit=x': 400,
    [`GET ${VM}/stats`]: 200,
    'GET /api/v1/vms/nosuch/stats': 404,
    [`GET ${VM}/egress`]: 200,
    'GET /api/v1/vms/nosuch/egress': 404,
    'GET /api/v1/images': 200,
    'GET /api/v1/images/nosuch': 404,
    'DELETE /api/v1/images/nosuch': 404,
  });
  await expect(ask, { 'POST /api/v1/images': 400 }, { body: {} });
}

/** The simulator has no agent, so what a guest would do is refused in the form of the document. */
async function execs(ask: Ask): Promise<void> {
  const all = `${VM}/exec`;
  await expect(ask, { [`POST ${all}`]: 409 }, { body: { argv: ['true'] } });
  await expect(ask, { [`POST ${all}`]: 400 }, { body: { argv: 5 } });
  await expect(ask, { [`POST ${all}/1/signal`]: 502 }, { body: { signal: 'SIGTERM' } });
  await expect(ask, { [`POST ${all}/1/resize`]: 502 }, { body: { rows: 24, columns: 80 } });
  await expect(ask, {
    [`GET ${all}`]: 502,
    [`GET ${all}/1`]: 502,
    [`GET ${all}/1/output`]: 502,
    [`GET ${all}/1/stream`]: 502,
    [`POST ${all}/1/stdin`]: 502,
    [`DELETE ${all}/1`]: 502,
  });
}

async function configs(ask: Ask): Promise<void> {
  const config = `${VM}/config`;
  const { headers } = await ask(`GET ${config}`);
  const body = {
    resources: { memory_mb: 96 },
    metadata: { a: 1, b: { c: [null] } },
    expose: [{ name: 'web', port: 80, host_port: 28_111 }],
    cloud_init: { user_data: { inline: true, content: '#cloud-config' } },
    stop_grace_seconds: 3,
  };
  await expect(ask, { [`PATCH ${config}?dry_run=true`]: 200 }, { body });
  const match = { 'If-Match': headers.get('etag') ?? '' };
  await expect(ask, { [`PATCH ${config}`]: 200 }, { body, headers: match });
  await expect(ask, { [`PATCH ${config}`]: 412 }, { body, headers: match });
  await expect(ask, { [`PATCH ${config}`]: 200 }, { body: { cloud_init: null, rootfs: null } });
  await expect(ask, { [`PATCH ${config}`]: 400 }, { body: { resources: { memory_mb: -1 } } });
  await expect(ask, {
    [`GET ${config}`]: 200,
    [`GET ${config}/history`]: 200,
    [`GET ${config}/history?limit=x`]: 400,
    'GET /api/v1/vms/nosuch/config': 404,
  });
}

async function deployments(ask: Ask): Promise<void> {
  const all = '/api/v1/deployments';
  const body = { name: 'web', replicas: 1, config: CONFIG };
  await expect(ask, { [`POST ${all}?dry_run=true`]: 200 }, { body });
  await expect(ask, { [`POST ${all}?wait=running`]: 201 }, { body });
  await expect(ask, { [`POST ${all}`]: 409 }, { body });
  await expect(ask, { [`POST ${all}`]: 400 }, { body: { name: 'web' } });
  const scaled = { body: { replicas: 2 } };
  await expect(ask, { [`PATCH ${all}/web?dry_run=true`]: 200 }, scaled);
  await expect(ask, { [`PATCH ${all}/web?wait=running`]: 200 }, scaled);
  await expect(ask, { [`PATCH ${all}/web`]: 400, [`PATCH ${all}/nosuch`]: 400 }, { body: [] });
  await expect(ask, {
    [`GET ${all}`]: 200,
    [`GET ${all}/web`]: 200,
    [`GET ${all}/nosuch`]: 404,
  });
  const changed = { body: { config: { ...CONFIG, metadata: { a: 1 } } } };
  await expect(ask, { [`PATCH ${all}/web?wait=accepted`]: 200 }, changed);
  await expect(
    ask,
    {
      [`POST ${all}/web/rollback?dry_run=true`]: 200,
      [`POST ${all}/web/rollback?wait=accepted`]: 200,
    },
    { body: {} },
  );
  await expect(ask, { [`POST ${all}/web/rollback`]: 404 }, { body: { revision: 99 } });
  await expect(ask, { [`POST ${all}/web/rollback`]: 400 }, { body: { revision: 0 } });
  await expect(ask, {
    [`GET ${all}/web/revisions`]: 200,
    [`GET ${all}/nosuch/revisions`]: 404,
    [`DELETE ${all}/web`]: 204,
    [`DELETE ${all}/nosuch`]: 404,
  });
}

async function plugins(ask: Ask): Promise<void> {
  const all = '/api/v1/plugins';
  const { body: manifest } = await ask(`GET ${all}/hello`);
  const body = {
    ...manifest,
    name: 'mine',
    actions: { greet: { method: 'POST', path: '/greet', timeout_ms: 1000 } },
    disks: [{ name: 'data', source: manifest.initramfs.url, readonly: true }],
    network: { mode: 'bridged' },
  };
  await expect(ask, { [`POST ${all}`]: 201 }, { body });
  await expect(ask, { [`POST ${all}`]: 400 }, { body: { name: 'X' } });
  const version = 'version=1.0';
  const record = { version: '1.0', artifact_name: 'root', kind: 'rootfs', size_bytes: 5 * 2 ** 30 };
  await expect(ask, { [`POST ${all}/mine/artifacts`]: 201 }, { body: record });
  const large = { ...record, size_bytes: 1e300 };
  await expect(ask, { [`POST ${all}/mine/artifacts`]: 400 }, { body: large });
  await expect(ask, {
    [`GET ${all}`]: 200,
    [`GET ${all}/mine`]: 200,
    [`GET ${all}/mine/manifest`]: 200,
    [`GET ${all}/mine/artifacts`]: 200,
    [`GET ${all}/mine/artifacts/root?${version}`]: 200,
    [`GET ${all}/mine/artifacts/root`]: 400,
    [`GET ${all}/mine/artifacts/nosuch?${version}`]: 404,
    [`DELETE ${all}/mine/artifacts?${version}`]: 204,
  });
  await expect(ask, { [`POST ${all}/mine/enabled`]: 200 }, { body: { enabled: false } });
  await expect(ask, { [`POST ${all}/mine/enabled`]: 400 }, { body: { enabled: 1 } });
  await expect(ask, {
    [`GET ${all}/mine/manifest`]: 409,
    [`DELETE ${all}/mine`]: 204,
    [`DELETE ${all}/nosuch`]: 404,
  });
}

async function devices(ask: Ask): Promise<void> {
  const all = 'POST /api/v1/vfio/devices';
  const known = { body: { pci_addresses: [DEVICE] } };
  await expect(ask, { [`${all}/info`]: 200 }, { body: { pci_address: DEVICE } });
  await expect(ask, { [`${all}/info`]: 404 }, { body: { pci_address: '0000:09:00.0' } });
  await expect(
    ask,
    {
      [`${all}/validate`]: 200,
      [`${all}/iommu-groups`]: 200,
      [`${all}/group-paths`]: 409,
      [`${all}/bind`]: 200,
    },
    known,
  );
  await expect(ask, { [`${all}/group-paths`]: 200, [`${all}/unbind`]: 200 }, known);
  const wrong = { body: { pci_addresses: ['x'] } };
  for (const operation of ['bind', 'unbind', 'group-paths', 'iommu-groups']) {
    await expect(ask, { [`${all}/${operation}`]: 400 }, wrong);
    await expect(ask, { [`${all}/${operation}`]: 400 }, { body: {} });
  }
  await expect(ask, { [`${all}/validate`]: 200 }, wrong);
}

async function agents(ask: Ask): Promise<void> {
  const mcp = 'POST /api/v1/mcp';
  const message = { jsonrpc: '2.0', id: 1, method: 'tools/list', params: {} };
  await expect(ask, { [mcp]: 200 }, { body: { command: 'volant.vms.list' } });
  await expect(ask, { [mcp]: 200 }, { body: { command: 'nosuch' } });
  await expect(ask, { [mcp]: 200 }, { body: message });
  await expect(ask, { [mcp]: 200 }, { body: { ...message, id: 'b', method: 'nosuch' } });
  await expect(ask, { [mcp]: 202 }, { body: { jsonrpc: '2.0', method: 'x' } });
  await expect(ask, { [mcp]: 400 }, { body: '[' });
}

function start(t: TestContext, sysfs: FakeSysfs, settings: Record<string, string> = {}) {
  return startDaemon(t, {
    VOLANT_HYPERVISOR: 'simulator',
    VOLANT_SYSFS_ROOT: sysfs.root,
    ...settings,
  });
}

test('an answer that is not described is found', () => {
  const checker = new DocumentChecker(buildOpenApi({ version: 'test' }));
  const headers = new Headers({ 'Content-Type': 'application/json' });
  const check = (status: number, value: unknown) =>
    checker.check('GET', '/api/v1/system/status', { status, headers, text: JSON.stringify(value) });
  const budget = {
    memory_total_mb: 4096,
    memory_limit_mb: null,
    memory_used_mb: 0,
    cpu_cores: 2,
    vcpus_limit: null,
    vcpus_used: 0,
  };
  const right = { status: 'ok', vm_count: 1, cpu_percent: 0.5, mem_percent: 99, budget };
  assert.deepEqual(check(200, right), []);
  assert.notDeepEqual(check(200, { ...right, news: 1 }), []);
  assert.notDeepEqual(check(200, { ...right, vm_count: 1e300 }), []);
  assert.notDeepEqual(check(200, { ...right, vm_count: null }), []);
  assert.notDeepEqual(check(201, right), []);
  assert.deepEqual(check(418, { error: 'x', code: 'X' }), []);
  assert.notDeepEqual(check(418, { error: 'x' }), []);
});

test('without a key every operation is refused as described', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, {
    VOLANT_HYPERVISOR: 'simulator',
    VOLANT_API_KEY: 'secret',
  });
  const checker = new DocumentChecker(buildOpenApi({ version: 'test' }));
  const operations: readonly Operation[] = Object.values(OPERATIONS);
  for (const { method, path, scope } of operations) {
    const target = path.replaceAll(/\{\w+\}/g, 'one');
    const answer = await daemon.call(
      method,
      target,
      ['GET', 'DELETE'].includes(method) ? undefined : {},
    );
    assert.deepEqual(checker.check(method, target, answer), []);
    assert.equal(answer.status, scope === 'none' ? 200 : 401, `${method} ${path}`);
  }
});

test('every answer of the daemon is one that its document describes', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const sysfs = new FakeSysfs(t, ['host']);
  sysfs.addDevice(DEVICE, '7', 'host');
  const daemon = await start(t, sysfs);
  const { ask, checker } = await checked(daemon);
  await vms(daemon, ask);
  await figures(ask);
  await execs(ask);
  await configs(ask);
  await plugins(ask);
  await devices(ask);
  await agents(ask);
  await deployments(ask);
  await expect(ask, {
    'GET /healthz': 200,
    'GET /openapi': 200,
    'GET /api/v1/system/info': 200,
    'GET /api/v1/system/status': 200,
    'GET /api/v1/system/summary': 200,
    'GET /api/v1/system/backup': 200,
    'GET /api/v1/system/audit': 200,
    'GET /api/v1/system/audit?repair=perhaps': 400,
    'GET /api/v1/events?after=x': 400,
    'GET /api/v1/events/vms?after=x': 400,
    [`DELETE ${VM}?grace_seconds=0`]: 204,
    'DELETE /api/v1/vms/nosuch': 404,
  });
  const events = await eventsOf(daemon, '/api/v1/events');
  assert.ok(events.length > 20);
  for (const event of events) assert.deepEqual(checker.checkComponent('Event', event), []);
  const unseen = checker.operationIds.filter((id) => !checker.seen.has(id));
  assert.deepEqual(unseen, [], 'an operation that no request of this test is for');
});
