// client: what one call sends, what its errors contain, and when it is retried.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createClient } from '../../src/client/client.ts';
import { ApiError, ConnectionError, RequestTimeoutError } from '../../src/client/errors.ts';
import { type Answer, sendJson, startFakeDaemon, vmBody } from './fake-daemon.ts';

const FAST = { pauseMs: 1 };

const overloaded: Answer = (_request, response) =>
  sendJson(response, 503, { error: 'busy', code: 'OVERLOADED' }, { 'Retry-After': '0' });

test('a create sends its request as JSON, and its options where the contract has them', async (t) => {
  const daemon = await startFakeDaemon(t, (_, response) => sendJson(response, 201, vmBody('one')));
  const client = createClient({ baseUrl: daemon.url, apiKey: 'secret' });
  const vm = await client.vms.create(
    { name: 'one', plugin: 'hello' },
    { wait: 'ready', waitTimeoutMs: 5000, idempotencyKey: 'key-1' },
  );
  assert.equal(vm.ip_address, '192.168.127.10');
  const [request] = daemon.seen;
  assert.deepEqual(daemon.calls(), ['POST /api/v1/vms?wait=ready&timeout=5000']);
  assert.deepEqual(JSON.parse(request?.body ?? ''), { name: 'one', plugin: 'hello' });
  assert.equal(request?.headers['authorization'], 'Bearer secret');
  assert.equal(request?.headers['idempotency-key'], 'key-1');
  assert.equal(request?.headers['content-type'], 'application/json');
  assert.match(request?.headers['user-agent'] ?? '', /^volant-client\/\d/);
});

test('a daemon may listen at a port that fetch refuses', async (t) => {
  const server = createHttpServer((_, response) => sendJson(response, 200, vmBody('one')));
  // fetch counts it among those of X11 and of mail; one of them is free.
  const ports = [10080, 6000, 6665, 6697, 4190];
  for (const port of ports) {
    server.removeAllListeners('error');
    const listens = await new Promise((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (listens) break;
  }
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const { vms } = createClient({ baseUrl: `http://127.0.0.1:${port}` });
  assert.equal((await vms.get('one')).name, 'one');
});

test('plans ask for a dry run; a config is changed only in the version that was named', async (t) => {
  const daemon = await startFakeDaemon(t, (_, response) => sendJson(response, 200, {}));
  const { vms, configs, deployments } = createClient({ baseUrl: daemon.url });
  await vms.planCreate({ name: 'a' });
  await deployments.planPatch('d', { replicas: 3 });
  await configs.planUpdate('a', {}, { ifVersion: 7 });
  await configs.update('a', { runtime: 'r' }, { ifVersion: 8 });
  await configs.history('a', { limit: 2 });
  assert.deepEqual(daemon.calls(), [
    'POST /api/v1/vms?dry_run=true',
    'PATCH /api/v1/deployments/d?dry_run=true',
    'PATCH /api/v1/vms/a/config?dry_run=true',
    'PATCH /api/v1/vms/a/config',
    'GET /api/v1/vms/a/config/history?limit=2',
  ]);
  assert.deepEqual(
    daemon.seen.map(({ headers }) => headers['if-match']),
    [undefined, undefined, '"7"', '"8"', undefined],
  );
});

test('a list knows how many there are beyond its page', async (t) => {
  const daemon = await startFakeDaemon(t, (_, response) =>
    sendJson(response, 200, [vmBody('a')], { 'X-Total-Count': '41' }),
  );
  const { vms } = createClient({ baseUrl: `${daemon.url}/` });
  const page = await vms.list({ status: ['running', 'stopped'], q: 'a&b', limit: 1 });
  assert.deepEqual([page.vms.length, page.total], [1, 41]);
  assert.deepEqual(daemon.calls(), ['GET /api/v1/vms?status=running%2Cstopped&q=a%26b&limit=1']);
});

test('a name is one segment of the path, whatever it holds', async (t) => {
  const daemon = await startFakeDaemon(t, (_, response) => sendJson(response, 200, {}));
  const { vms } = createClient({ baseUrl: daemon.url });
  await vms.get('a/../b?c');
  assert.deepEqual(daemon.calls(), ['GET /api/v1/vms/a%2F..%2Fb%3Fc']);
  for (const name of ['', '.', '..']) assert.throws(() => vms.get(name), TypeError);
});

test('an error answer is an ApiError with everything that the daemon said', async (t) => {
  const details = { 'resources.cpu_cores': 'must be at most 64' };
  const daemon = await startFakeDaemon(t, (_, response) =>
    sendJson(response, 400, { error: 'Not valid', code: 'BODY_INVALID', details }),
  );
  const call = createClient({ baseUrl: daemon.url }).vms.create({ name: 'x' });
  await assert.rejects(call, (error) => {
    assert.ok(error instanceof ApiError);
    assert.deepEqual(
      [error.status, error.code, error.message, error.details],
      [400, 'BODY_INVALID', 'Not valid', details],
    );
    return true;
  });
});

test('an answer that is not of a Volant daemon still has a code', async (t) => {
  const daemon = await startFakeDaemon(t, (_, response) =>
    response.writeHead(502).end('<html>bad gateway</html>'),
  );
  const call = createClient({ baseUrl: daemon.url }).vms.get('x');
  await assert.rejects(call, { name: 'ApiError', status: 502, code: 'HTTP_502' });
});

test('503 with Retry-After is asked again, whatever the method, and not forever', async (t) => {
  let refusals = 2;
  const daemon = await startFakeDaemon(t, (request, response) => {
    if (refusals-- > 0) overloaded(request, response);
    else sendJson(response, 201, vmBody('one'));
  });
  const client = createClient({ baseUrl: daemon.url, retry: FAST });
  assert.equal((await client.vms.create({ name: 'one' })).name, 'one');
  assert.equal(daemon.seen.length, 3);
  refusals = 100;
  await assert.rejects(client.vms.create({ name: 'one' }), { status: 503, code: 'OVERLOADED' });
  assert.equal(daemon.seen.length, 6);
});

test('without Retry-After, or with a long one, only what is safe is asked again', async (t) => {
  let header: Record<string, string> = {};
  const daemon = await startFakeDaemon(t, (_, response) =>
    sendJson(response, 503, { code: 'STORE_UNAVAILABLE' }, header),
  );
  const { vms } = createClient({ baseUrl: daemon.url, retry: FAST });
  await assert.rejects(vms.stop('one'), ApiError);
  assert.equal(daemon.seen.length, 1, 'a POST is not repeated');
  await assert.rejects(vms.get('one'), ApiError);
  assert.equal(daemon.seen.length, 4, 'a GET is');
  header = { 'Retry-After': '3600' };
  await assert.rejects(vms.get('one'), { retryAfterSeconds: 3600 });
  assert.equal(daemon.seen.length, 5, 'nobody waits for an hour');
});

test('a lost connection: a GET is asked again, a POST only with an Idempotency-Key', async (t) => {
  let drops = 1;
  const daemon = await startFakeDaemon(t, (_, response) => {
    if (drops-- > 0) response.destroy();
    else sendJson(response, 200, vmBody('one'));
  });
  const { vms } = createClient({ baseUrl: daemon.url, retry: FAST });
  await vms.get('one');
  drops = 1;
  await vms.create({ name: 'one' }, { idempotencyKey: 'k' });
  drops = 1;
  await assert.rejects(vms.create({ name: 'one' }), ConnectionError);
  assert.equal(daemon.seen.length, 5);
});

test('nobody listens: ConnectionError with the code of the system', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  const baseUrl = `http://127.0.0.1:${port}`;
  const call = createClient({ baseUrl, retry: FAST }).system.health();
  await assert.rejects(call, { name: 'ConnectionError', code: 'ECONNREFUSED' });
  const socket = join(tmpdir(), `volant-none-${process.pid}.sock`);
  const other = createClient({ baseUrl: `unix:${socket}`, retry: FAST }).system.health();
  await assert.rejects(other, { name: 'ConnectionError', code: 'ENOENT' });
  t.diagnostic(baseUrl);
});

test('a call ends at its bound, and at once when its signal aborts', async (t) => {
  const daemon = await startFakeDaemon(t, () => undefined);
  const { vms } = createClient({ baseUrl: daemon.url, retry: FAST });
  await assert.rejects(vms.stop('slow', { timeoutMs: 20 }), RequestTimeoutError);
  const controller = new AbortController();
  const call = vms.stop('slow', { signal: controller.signal });
  controller.abort(new Error('enough'));
  await assert.rejects(call, { message: 'enough' });
});

test('the end of a guest is not given up while the guest has time left', async (t) => {
  const daemon = await startFakeDaemon(t, ({ method }, response) => {
    setTimeout(() => {
      if (method === 'DELETE') response.writeHead(204).end();
      else sendJson(response, 200, vmBody('one'));
    }, 100);
  });
  const { vms } = createClient({ baseUrl: daemon.url, retry: FAST, timeoutMs: 20 });
  await assert.rejects(vms.stop('one'), RequestTimeoutError);
  await vms.stop('one', { graceSeconds: 0 });
  await vms.restart('one', { graceSeconds: 3, wait: 'accepted' });
  await vms.destroy('one', { graceSeconds: 60 });
  assert.deepEqual(daemon.calls(), [
    'POST /api/v1/vms/one/stop',
    'POST /api/v1/vms/one/stop?grace_seconds=0',
    'POST /api/v1/vms/one/restart?wait=accepted&grace_seconds=3',
    'DELETE /api/v1/vms/one?grace_seconds=60',
  ]);
});

test('a unix socket serves like a port: bodies, empty answers, errors, streams', async (t) => {
  const home = mkdtempSync(join(tmpdir(), 'volant-client-'));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  const answer: Answer = ({ method, path, body }, response) => {
    if (method === 'DELETE') response.writeHead(204).end();
    else if (path.startsWith('/api/v1/events')) {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      response.write('id: 5\ndata: {"type":"VM_CREATED","name":"u"}\n\n');
    } else if (method === 'POST') sendJson(response, 201, JSON.parse(body));
    else sendJson(response, 404, { error: 'none', code: 'VM_NOT_FOUND' });
  };
  const daemon = await startFakeDaemon(t, answer, join(home, 'api.sock'));
  const client = createClient({ baseUrl: daemon.url });
  assert.equal((await client.vms.create({ name: 'u' })).name, 'u');
  await client.vms.destroy('u');
  await assert.rejects(client.vms.get('u'), { code: 'VM_NOT_FOUND' });
  for await (const event of client.events.all()) {
    assert.deepEqual([event.id, event.name], [5, 'u']);
    break;
  }
});

test('the agent of a guest is asked as if it were near, and its errors are answers', async (t) => {
  const daemon = await startFakeDaemon(t, (_, response) => response.writeHead(418).end('teapot'));
  const { agent } = createClient({ baseUrl: daemon.url });
  const answer = await agent.request('one', '/v1/brew', {
    method: 'PUT',
    query: { cups: 2 },
    body: 'x',
  });
  assert.deepEqual([answer.status, await answer.text()], [418, 'teapot']);
  assert.deepEqual(daemon.calls(), ['PUT /api/v1/vms/one/agent/v1/brew?cups=2']);
  assert.equal(daemon.seen[0]?.body, 'x');
});

test('a redirect of a guest is an answer: nothing is sent where it leads', async (t) => {
  const daemon = await startFakeDaemon(t, (_, response) =>
    response.writeHead(307, { location: '/api/v1/vms/victim' }).end(),
  );
  for (const options of [{ baseUrl: daemon.url }, { baseUrl: daemon.url, apiKey: 'key' }]) {
    const { agent } = createClient(options);
    for (const method of ['GET', 'POST', 'DELETE'] as const) {
      const answer = await agent.request('one', '/v1/old', { method });
      assert.deepEqual(
        [answer.status, answer.headers.get('location')],
        [307, '/api/v1/vms/victim'],
      );
      await answer.text();
    }
  }
  assert.deepEqual(
    [...new Set(daemon.seen.map(({ path }) => path))],
    ['/api/v1/vms/one/agent/v1/old'],
  );
});

test('a path that leaves the agent is not sent', async (t) => {
  const daemon = await startFakeDaemon(t, (_, response) => response.writeHead(204).end());
  const { agent } = createClient({ baseUrl: daemon.url });
  const climbing = [
    '/../../victim',
    '/v1/%2e%2E/x',
    '..\\..\\victim',
    '/v1/.\t./x',
    '/%252e%252e/x',
  ];
  for (const path of climbing) {
    assert.throws(() => agent.request('web', path, { method: 'DELETE' }), TypeError, path);
  }
  await agent.request('web', '/v1/..hidden/file.txt?next=/../x');
  assert.deepEqual(daemon.calls(), ['GET /api/v1/vms/web/agent/v1/..hidden/file.txt?next=/../x']);
});

test('a base URL that cannot be one is refused at once', () => {
  assert.throws(() => createClient({ baseUrl: 'ftp://x' }), TypeError);
  assert.throws(() => createClient({ baseUrl: '127.0.0.1:7777' }), TypeError);
});
