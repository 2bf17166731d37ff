// http: which request is mapped to which operation, and the answers for requests without one.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Operation } from '../../src/schema/operations/operation.ts';
import { OPERATIONS } from '../../src/schema/operations.ts';
import { createFakeEngine, vmRecord } from './fake-engine.ts';
import { ask, errorIn, eventually, outcome, RawClient, startServer } from './harness.ts';

const ALL: readonly Operation[] = Object.values(OPERATIONS);

/** Reads that this room answers by itself, and what there is to read. */
const READS = [
  '/healthz',
  '/openapi',
  '/api/v1/system/status',
  '/api/v1/vms',
  '/api/v1/vms?limit=0',
  '/api/v1/vms/one',
  '/api/v1/plugins',
  '/api/v1/deployments',
];

async function serverWithOne(t: Parameters<typeof startServer>[0]) {
  const fake = createFakeEngine();
  fake.vms.put(vmRecord(1, 'one'));
  return startServer(t, { fake });
}

test('HEAD is GET without the body', async (t) => {
  const server = await serverWithOne(t);
  for (const path of [...READS, '/api/v1/vms/none', '/api/v1/vms?limit=x', '/nowhere']) {
    const get = await ask(server, `GET ${path}`);
    const head = await ask(server, `HEAD ${path}`);
    assert.equal(head.status, get.status, path);
    assert.equal(head.text, '', path);
    const { date: _got, 'x-request-id': gotId, ...gotHeaders } = get.headers;
    const { date: _had, 'x-request-id': hadId, ...headHeaders } = head.headers;
    assert.notEqual(hadId, gotId, path);
    assert.deepEqual(headHeaders, gotHeaders, path);
    assert.equal(head.headers['content-length'], String(Buffer.byteLength(get.text)), path);
  }
});

test('HEAD of a stream is its head, and does not open one', async (t) => {
  const server = await serverWithOne(t);
  for (const path of ['/api/v1/events/vms', '/api/v1/events']) {
    const head = await ask(server, `HEAD ${path}`);
    assert.equal(head.status, 200);
    assert.equal(head.headers['content-type'], 'text/event-stream');
  }
});

test('a path that is not in the contract is 404 for every method', async (t) => {
  const server = await serverWithOne(t);
  const paths = [
    '/',
    '/api',
    '/api/v1',
    '/api/v2/vms',
    '/api/v1/vmss',
    '/API/V1/VMS',
    '/healthz/x',
  ];
  for (const path of paths) {
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'PURGE']) {
      const answer = await ask(server, `${method} ${path}`);
      assert.equal(outcome(answer), '404 ROUTE_NOT_FOUND', `${method} ${path}`);
    }
  }
});

test('a path ends where its operation ends, and has no empty parts', async (t) => {
  const server = await serverWithOne(t);
  const paths = [
    '/healthz/',
    '//healthz',
    '/api/v1/vms/',
    '/api/v1//vms',
    '/api/v1/vms/one/',
    '/api/v1/vms//one',
    '/api/v1/vms//config',
    '/api/v1/plugins//',
  ];
  for (const path of paths) {
    const answer = await ask(server, `GET ${path}`);
    assert.equal(answer.status, 404, path);
    errorIn(answer);
  }
});

test('a known path with another method is 405 and names those that it has', async (t) => {
  const server = await serverWithOne(t);
  for (const path of new Set(ALL.map((operation) => operation.path))) {
    const operations = ALL.filter((operation) => operation.path === path);
    const has: string[] = operations.map(({ method }) => method);
    const lacking = ['POST', 'PUT', 'PATCH', 'DELETE'].filter((method) => !has.includes(method));
    const real = path.replaceAll(/\{\w+\}/g, 'one');
    for (const method of lacking) {
      const answer = await ask(server, `${method} ${real}`);
      assert.equal(outcome(answer), '405 METHOD_NOT_ALLOWED', `${method} ${real}`);
      const allowed = answer.headers.allow?.split(', ') ?? [];
      for (const method of has) assert.ok(allowed.includes(method), `${real} allows ${method}`);
      assert.equal(allowed.includes('HEAD'), has.includes('GET'), real);
    }
  }
});

test('OPTIONS answers with the methods of a path, without a key', async (t) => {
  const server = await startServer(t, { environment: { VOLANT_API_KEY: 'key' } });
  const answer = await ask(server, 'OPTIONS /api/v1/vms');
  assert.deepEqual([answer.status, answer.text], [204, '']);
  assert.deepEqual(answer.headers.allow?.split(', '), ['GET', 'POST', 'HEAD', 'OPTIONS']);
  const nowhere = await ask(server, 'OPTIONS /nowhere');
  assert.deepEqual([nowhere.status, nowhere.headers.allow], [204, 'OPTIONS']);
});

test('names come percent-decoded, and an impossible one is not found', async (t) => {
  const server = await serverWithOne(t);
  assert.equal((await ask(server, 'GET /api/v1/vms/%6Fn%65')).status, 200);
  const impossible = ['%2F', 'one%2F', 'o%00ne', 'ONE', 'one%20', '%F0%9F%A6%8A', '*'];
  for (const name of impossible) {
    const answer = await ask(server, `GET /api/v1/vms/${name}`);
    assert.equal(outcome(answer), '404 VM_NOT_FOUND', name);
  }
  const long = await ask(server, `GET /api/v1/vms/${'x'.repeat(3000)}`);
  assert.equal(outcome(long), '404 VM_NOT_FOUND');
});

test('malformed percent-encoding is a name that nobody has', async (t) => {
  const server = await serverWithOne(t);
  for (const name of ['%', '%zz', '%e', 'one%', '%ff', '%c3%28', '%u0041', '%ED%A0%80']) {
    assert.equal(outcome(await ask(server, `GET /api/v1/vms/${name}`)), '404 VM_NOT_FOUND', name);
    assert.equal((await ask(server, `HEAD /api/v1/vms/${name}`)).status, 404, name);
    assert.equal(outcome(await ask(server, `POST /api/v1/vms/${name}/stop`)), '404 VM_NOT_FOUND');
    assert.equal(outcome(await ask(server, `GET /api/v1/${name}`)), '404 ROUTE_NOT_FOUND', name);
  }
  assert.equal((await ask(server, 'GET /healthz')).status, 200);
});

test('malformed percent-encoding in a query is taken as it is', async (t) => {
  const server = await serverWithOne(t);
  for (const value of ['%', '%zz', '%ff', '%e2%28', '&&&', '=%', '+']) {
    const answer = await ask(server, `GET /api/v1/vms?q=${value}&limit=5`);
    assert.equal(answer.status, 200, value);
  }
});

test('each parameter of a path is its own', async (t) => {
  const fake = createFakeEngine();
  fake.vms.put(vmRecord(1, 'one'));
  const server = await startServer(t, { fake });
  for (const action of ['stop', 'start', 'restart']) {
    assert.equal((await ask(server, `POST /api/v1/vms/one/${action}`)).status, 200);
  }
  await ask(server, 'POST /api/v1/plugins/two/enabled', { body: '{"enabled":true}' });
  assert.deepEqual(
    fake.calls.map(({ name, given }) => [name, given[0]]),
    [
      ['vms.stop', 'one'],
      ['vms.start', 'one'],
      ['vms.restart', 'one'],
      ['plugins.setEnabled', 'two'],
    ],
  );
});

test('a client that escapes the "?" of its query is understood', async (t) => {
  const server = await serverWithOne(t);
  const answer = await ask(server, 'GET /api/v1/vms%3Flimit=0');
  assert.deepEqual([answer.text, answer.headers['x-total-count']], ['[]', '1']);
});

test('methods are written in capitals', async (t) => {
  const server = await serverWithOne(t);
  const client = await RawClient.open(t, server);
  client.head('get /api/v1/vms HTTP/1.1', 'Host: localhost');
  assert.equal(outcome(await client.answer()), '405 METHOD_NOT_ALLOWED');
});

test('the description says where it was found', async (t) => {
  const environment = { VOLANT_API_HOSTS: 'volant.example' };
  const server = await startServer(t, { environment });
  const headers = { Host: 'volant.example:8443' };
  const { text } = await ask(server, 'GET /openapi', { headers });
  const document = JSON.parse(text) as { servers: { url: string }[] };
  assert.deepEqual(document.servers, [{ url: 'http://volant.example:8443' }]);
});

test('every operation has a handler behind its route', async (t) => {
  // An engine without parts: what reaches a handler fails there, which no missing route does.
  const fake = createFakeEngine();
  const server = await startServer(t, { fake });
  for (const { method, path } of ALL) {
    const real = path.replaceAll(/\{\w+\}/g, 'none');
    const client = await RawClient.open(t, server);
    client.head(`${method} ${real} HTTP/1.1`, 'Host: localhost', 'Content-Length: 2').send('{}');
    await eventually(() => client.received.includes('\r\n\r\n'), `${method} ${real}`);
    assert.doesNotMatch(client.received, /ROUTE_NOT_FOUND|METHOD_NOT_ALLOWED/, `${method} ${real}`);
    client.socket.destroy();
  }
});
