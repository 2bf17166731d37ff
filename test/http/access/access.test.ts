// http, access: who may use the API: the key and where it is sent, client networks, browsers, the unix socket.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { requireCapability } from '../../helpers/capabilities.ts';
import { ask, outcome, RawClient, startServer } from '../harness.ts';
import { SERVER } from '../server-versions.ts';

const KEY = 'a key/with +signs&in=it';
const ESCAPED = encodeURIComponent(KEY);

const withKey = (t: TestContext) => startServer(t, { environment: { VOLANT_API_KEY: KEY } });

test('without a key nothing but health is answered', async (t) => {
  const server = await withKey(t);
  const targets = [
    'GET /api/v1/vms',
    'GET /api/v1/vms/one',
    'GET /openapi',
    'GET /api/v1/events/vms',
    'DELETE /api/v1/vms/one',
    'PUT /api/v1/vms',
    'GET /nowhere',
    'GET /api/v1/vms%3Flimit=1',
  ];
  for (const target of targets) {
    const answer = await ask(server, target);
    assert.equal(outcome(answer), '401 UNAUTHORIZED', target);
    assert.equal(answer.headers['www-authenticate'], 'Bearer', target);
  }
  assert.equal((await ask(server, 'HEAD /api/v1/vms')).status, 401);
  assert.equal((await ask(server, 'GET /healthz')).status, 200);
  assert.equal((await ask(server, 'HEAD /healthz')).status, 200);
  assert.deepEqual(server.fake.calls, []);
});

test('the key is taken from its header or as a bearer token', async (t) => {
  const server = await withKey(t);
  const good = [
    { 'X-Volant-API-Key': KEY },
    { 'x-volant-api-key': KEY },
    { Authorization: `Bearer ${KEY}` },
    { authorization: `bearer  ${KEY}` },
  ];
  for (const headers of good) {
    assert.equal((await ask(server, 'GET /api/v1/vms', { headers })).status, 200);
  }
  const bad = [
    { 'X-Volant-API-Key': '' },
    { 'X-Volant-API-Key': `${KEY}x` },
    { 'X-Volant-API-Key': KEY.slice(1) },
    { 'X-Volant-API-Key': KEY.toUpperCase() },
    { Authorization: KEY },
    { Authorization: `Basic ${KEY}` },
    { Authorization: 'Bearer' },
    { Cookie: `api_key=${ESCAPED}` },
  ];
  for (const headers of bad) {
    const answer = await ask(server, 'GET /api/v1/vms', { headers });
    assert.equal(outcome(answer), '401 UNAUTHORIZED', JSON.stringify(headers));
  }
  const large = await ask(server, 'GET /api/v1/vms', {
    headers: { 'X-Volant-API-Key': 'x'.repeat(5000) },
  });
  // Where the server itself does not take so large a head.
  assert.equal(large.status, SERVER.largeHead === 200 ? 401 : SERVER.largeHead);
});

test('the key in the query opens streams, which browsers open by themselves, and nothing else', async (t) => {
  const server = await withKey(t);
  const opens = async (path: string) => {
    const client = await RawClient.open(t, server);
    client.head(`GET ${path} HTTP/1.1`, 'Host: localhost');
    const { status } = await client.answer();
    client.socket.destroy();
    return status;
  };
  assert.equal(await opens(`/api/v1/events/vms?api_key=${ESCAPED}`), 200);
  assert.equal(await opens(`/api/v1/events?after=0&api_key=${ESCAPED}`), 200);
  assert.equal(await opens('/api/v1/events?api_key=wrong'), 401);
  assert.equal(await opens(`/api/v1/events?API_KEY=${ESCAPED}`), 401);
  assert.equal(await opens(`/api/v1/vms?api_key=${ESCAPED}`), 401);
  assert.equal(await opens(`/openapi?api_key=${ESCAPED}`), 401);
});

test('a refused body does not spoil what comes after it', async (t) => {
  const server = await withKey(t);
  const client = await RawClient.open(t, server);
  const body = '{"name":"one"}';
  const head = ['POST /api/v1/vms HTTP/1.1', 'Host: localhost', `Content-Length: ${body.length}`];
  client.head(...head).send(body);
  assert.equal(outcome(await client.answer()), '401 UNAUTHORIZED');
  client.head(...head, `X-Volant-API-Key: ${KEY}`).send(body);
  assert.equal((await client.answer()).status, 201);
});

test('the key is never logged', async (t) => {
  const server = await withKey(t);
  await ask(server, `GET /api/v1/vms?api_key=${ESCAPED}`);
  await ask(server, 'POST /api/v1/vms', { headers: { 'X-Volant-API-Key': KEY }, body: '{' });
  await ask(server, 'GET /nowhere', { headers: { Authorization: `Bearer ${KEY}` } });
  assert.ok(server.log.length >= 3);
  const text = server.log.map((line) => JSON.stringify(line)).join('\n');
  assert.ok(!text.includes(KEY) && !text.includes(ESCAPED), text);
});

test('only clients of the allowed networks are answered, by the address of their socket', async (t) => {
  const allowed = { VOLANT_API_ALLOW_CIDR: '10.0.0.0/8, 127.0.0.0/30' };
  const inside = await startServer(t, { environment: allowed });
  assert.equal((await ask(inside, 'GET /api/v1/vms')).status, 200);
  const elsewhere = { VOLANT_API_ALLOW_CIDR: '10.0.0.0/8,127.0.0.2' };
  const outside = await startServer(t, { environment: elsewhere });
  const claims = {
    'X-Forwarded-For': '10.0.0.1',
    'X-Real-IP': '10.0.0.1',
    Forwarded: 'for=10.0.0.1',
  };
  for (const target of ['GET /api/v1/vms', 'POST /api/v1/vms', 'GET /nowhere', 'PUT /api/v1/vms']) {
    const answer = await ask(outside, target, { headers: claims });
    assert.equal(outcome(answer), '403 ADDRESS_FORBIDDEN', target);
  }
  assert.equal((await ask(outside, 'GET /healthz')).status, 200);
});

test('an IPv4 client of an IPv6 listener is known by its IPv4 address', async (t) => {
  if (!requireCapability(t, 'ipv6')) return;
  const listen = { VOLANT_API_LISTEN: '[::]:0' };
  const inside = await startServer(t, {
    environment: { ...listen, VOLANT_API_ALLOW_CIDR: '127.0.0.1/32' },
  });
  assert.equal((await ask(inside, 'GET /api/v1/vms')).status, 200);
  const outside = await startServer(t, {
    environment: { ...listen, VOLANT_API_ALLOW_CIDR: '127.0.0.2/32' },
  });
  assert.equal(outcome(await ask(outside, 'GET /api/v1/vms')), '403 ADDRESS_FORBIDDEN');
});

test('a network does not replace the key', async (t) => {
  const server = await startServer(t, {
    environment: { VOLANT_API_KEY: KEY, VOLANT_API_ALLOW_CIDR: '127.0.0.0/8' },
  });
  assert.equal(outcome(await ask(server, 'GET /api/v1/vms')), '401 UNAUTHORIZED');
  const headers = { 'X-Volant-API-Key': KEY };
  assert.equal((await ask(server, 'GET /api/v1/vms', { headers })).status, 200);
});

const ORIGIN = 'https://console.example';

test('a named origin is allowed, with credentials', async (t) => {
  const server = await startServer(t, {
    environment: { VOLANT_CORS_ORIGINS: `http://other.example,${ORIGIN}` },
  });
  for (const target of ['GET /api/v1/vms', 'GET /nowhere', 'DELETE /api/v1/vms/none']) {
    const { headers } = await ask(server, target, { headers: { Origin: ORIGIN } });
    assert.equal(headers['access-control-allow-origin'], ORIGIN, target);
    assert.equal(headers['access-control-allow-credentials'], 'true', target);
    assert.equal(headers.vary, 'Origin', target);
  }
  const list = await ask(server, 'GET /api/v1/vms', { headers: { Origin: ORIGIN } });
  assert.match(list.headers['access-control-expose-headers'] ?? '', /X-Total-Count/);
});

test('other origins are refused, and do not learn what they could read', async (t) => {
  const server = await startServer(t, { environment: { VOLANT_CORS_ORIGINS: ORIGIN } });
  const others = ['http://console.example', `${ORIGIN}.evil.example`, `${ORIGIN}:444`, 'null', ''];
  for (const origin of others) {
    const headers = origin === '' ? {} : { Origin: origin };
    const answer = await ask(server, 'GET /api/v1/vms', { headers });
    assert.equal(outcome(answer), origin === '' ? '200' : '403 ORIGIN_FORBIDDEN', origin);
    assert.equal(answer.headers['access-control-allow-origin'], undefined, origin);
    assert.equal(answer.headers['access-control-allow-credentials'], undefined, origin);
  }
});

test('"*" is every origin, without credentials unless it is named besides', async (t) => {
  const server = await startServer(t, { environment: { VOLANT_CORS_ORIGINS: `*,${ORIGIN}` } });
  const of = async (origin: string) => {
    const { headers } = await ask(server, 'GET /api/v1/vms', { headers: { Origin: origin } });
    const { 'access-control-allow-origin': allowed } = headers;
    return [allowed, headers['access-control-allow-credentials']];
  };
  assert.deepEqual(await of('http://anybody.example'), ['*', undefined]);
  assert.deepEqual(await of(ORIGIN), [ORIGIN, 'true']);
});

test('without origins in the settings there is no CORS at all', async (t) => {
  const server = await startServer(t);
  const answer = await ask(server, 'GET /api/v1/vms', { headers: { Origin: ORIGIN } });
  assert.equal(outcome(answer), '403 ORIGIN_FORBIDDEN');
  const names = Object.keys(answer.headers).filter((name) => name.startsWith('access-control'));
  assert.deepEqual(names, []);
});

test('a preflight is answered before anything is asked', async (t) => {
  const server = await startServer(t, {
    environment: {
      VOLANT_CORS_ORIGINS: ORIGIN,
      VOLANT_API_KEY: KEY,
      VOLANT_API_ALLOW_CIDR: '10.0.0.0/8',
    },
  });
  const answer = await ask(server, 'OPTIONS /api/v1/vms/one/config', {
    headers: {
      Origin: ORIGIN,
      'Access-Control-Request-Method': 'PATCH',
      'Access-Control-Request-Headers': 'if-match,x-volant-api-key',
    },
  });
  assert.deepEqual([answer.status, answer.text], [204, '']);
  assert.equal(answer.headers['access-control-allow-origin'], ORIGIN);
  const methods = answer.headers['access-control-allow-methods']?.split(', ') ?? [];
  for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']) {
    assert.ok(methods.includes(method), method);
  }
  const allowed = answer.headers['access-control-allow-headers']?.toLowerCase().split(', ') ?? [];
  const needed = ['content-type', 'authorization', 'x-volant-api-key', 'last-event-id'];
  for (const header of [...needed, 'if-match', 'idempotency-key']) {
    assert.ok(allowed.includes(header), header);
  }
});

test('an error is readable for the page that asked', async (t) => {
  const server = await startServer(t, {
    environment: { VOLANT_CORS_ORIGINS: ORIGIN, VOLANT_API_KEY: KEY },
  });
  const asPage = { Origin: ORIGIN, 'Content-Type': 'application/json' };
  const refused = await ask(server, 'POST /api/v1/vms', { headers: asPage, body: '{' });
  assert.equal(outcome(refused), '401 UNAUTHORIZED');
  assert.equal(refused.headers['access-control-allow-origin'], ORIGIN);
  const headers = { ...asPage, 'X-Volant-API-Key': KEY };
  const wrong = await ask(server, 'POST /api/v1/vms', { headers, body: '{' });
  assert.equal(outcome(wrong), '400 JSON_INVALID');
  assert.equal(wrong.headers['access-control-allow-origin'], ORIGIN);
  const untyped = await ask(server, 'POST /api/v1/vms', {
    headers: { Origin: ORIGIN },
    body: '{}',
  });
  assert.equal(outcome(untyped), '415 CONTENT_TYPE_UNSUPPORTED');
  assert.equal(untyped.headers['access-control-allow-origin'], ORIGIN);
});

function socketPath(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'volant-http-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return join(directory, 'api.sock');
}

test('a unix socket serves its owner and group, and is gone afterwards', async (t) => {
  const path = socketPath(t);
  const server = await startServer(t, { environment: { VOLANT_API_LISTEN: `unix:${path}` } });
  assert.equal(server.server.port, null);
  assert.equal((await ask(server, 'GET /api/v1/vms')).status, 200);
  const { mode } = statSync(path);
  assert.equal((mode & 0o777).toString(8), '660');
  server.server.close();
  assert.equal(statSync(path, { throwIfNoEntry: false }), undefined);
});

test('a client on the unix socket has no address to be refused for, but needs the key', async (t) => {
  const server = await startServer(t, {
    environment: {
      VOLANT_API_LISTEN: `unix:${socketPath(t)}`,
      VOLANT_API_ALLOW_CIDR: '10.0.0.0/8',
      VOLANT_API_KEY: KEY,
    },
  });
  assert.equal(outcome(await ask(server, 'GET /api/v1/vms')), '401 UNAUTHORIZED');
  const headers = { 'X-Volant-API-Key': KEY };
  assert.equal((await ask(server, 'GET /api/v1/vms', { headers })).status, 200);
});

test("a socket that a killed daemon left is in nobody's way", async (t) => {
  const path = socketPath(t);
  const program =
    "require('node:net').createServer().listen(process.argv[1], () => console.log(1))";
  const killed = spawn(process.execPath, ['-e', program, path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(killed.stdout, 'data');
  killed.kill('SIGKILL');
  await once(killed, 'exit');
  assert.ok(statSync(path).isSocket());
  const server = await startServer(t, { environment: { VOLANT_API_LISTEN: `unix:${path}` } });
  assert.equal((await ask(server, 'GET /healthz')).status, 200);
});

test('a file, or the socket of a program that runs, is not taken for the API', async (t) => {
  const path = socketPath(t);
  const environment = { VOLANT_API_LISTEN: `unix:${path}` };
  writeFileSync(path, 'precious');
  await assert.rejects(startServer(t, { environment }), /is not a socket/);
  assert.equal(readFileSync(path, 'utf8'), 'precious');
  rmSync(path);
  const other = createServer().listen(path);
  t.after(() => other.close());
  await once(other, 'listening');
  await assert.rejects(startServer(t, { environment }), /running program/);
  assert.ok(statSync(path).isSocket());
});

test('an address that another program has is refused in a sentence', async (t) => {
  const first = await startServer(t);
  const environment = { VOLANT_API_LISTEN: `127.0.0.1:${first.server.port}` };
  await assert.rejects(startServer(t, { environment }), /VOLANT_API_LISTEN\) cannot be bound/);
  const unix = { VOLANT_API_LISTEN: 'unix:/nonexistent/api.sock' };
  await assert.rejects(startServer(t, { environment: unix }), /api\.sock cannot be bound/);
});
