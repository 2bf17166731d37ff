// test, http: requests that are framed as few clients do it, and connections that are asked to be closed. What is not HTTP at all
// is in hostile.test.ts.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LIMITS } from '../../../src/config/limits.ts';
import { createLargeFleet } from '../fake-engine.ts';
import { ask, RawClient, startServer } from '../harness.ts';

const HEALTH = 'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n';
const POST = 'POST /api/v1/vms HTTP/1.1\r\nHost: localhost\r\n';

test('a client that asks for the connection to be closed gets the header, once, in every kind of answer', async (t) => {
  const { fake } = await createLargeFleet(3000);
  const server = await startServer(t, { fake });
  const close = 'Host: localhost\r\nConnection: close\r\n';
  const requests = {
    'an answer': `GET /healthz HTTP/1.1\r\n${close}\r\n`,
    'a long one': `GET /api/v1/vms HTTP/1.1\r\n${close}\r\n`,
    'one without a body': `HEAD /healthz HTTP/1.1\r\n${close}\r\n`,
    'a refusal': `DELETE /api/v1/vms HTTP/1.1\r\n${close}\r\n`,
    'a refusal that closes': `POST /api/v1/vms HTTP/1.1\r\n${close}Content-Length: ${LIMITS.manifestBytesMax + 1}\r\n\r\n${' '.repeat(LIMITS.manifestBytesMax + 1)}`,
    'no host': `GET /healthz HTTP/1.1\r\n${close.replace('localhost', 'elsewhere.example')}\r\n`,
  };
  for (const [what, bytes] of Object.entries(requests)) {
    const client = (await RawClient.open(t, server)).send(bytes);
    await client.end();
    const [head = ''] = client.received.split('\r\n\r\n');
    assert.equal(head.match(/^Connection: close$/gm)?.length, 1, `${what}: ${head}`);
  }
  const kept = await ask(server, 'GET /healthz', { headers: { Connection: 'keep-alive' } });
  assert.equal(kept.headers.connection, undefined);
});

/** What clients frame unusually. Versions of the server library differ in what they make of it. */
const UNUSUAL: Readonly<Record<string, string>> = {
  'a target with its host': 'GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n',
  'OPTIONS *': 'OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n',
  trailers: `${POST}Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\n`,
  'a chunk extension': `${POST}Transfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\n\r\n`,
  'a chunk of 2^68 bytes': `${POST}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}`,
  'a list of lengths': `${POST}Content-Length: 2, 2\r\n\r\n{}`,
  'a length with a sign': `${POST}Content-Length: +2\r\n\r\n{}`,
  'more body than its length': `${POST}Content-Length: 2\r\n\r\n{}{}{}`,
  'a body of a GET': 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}',
  'a NUL in a header': 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nA: b\0c\r\n\r\n',
  'a CR in a header': 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nA: b\rc\r\n\r\n',
  'a header without a name': 'GET /healthz HTTP/1.1\r\nHost: localhost\r\n: b\r\n\r\n',
  'a line that is no header': 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nab\r\n\r\n',
  'empty lines first': `\r\n\r\n${HEALTH}`,
  'five in one write': HEALTH.repeat(5),
  'a target of 100 kB': `GET /${'a'.repeat(100_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
  'another expectation': `${POST}Expect: a-pony\r\nContent-Length: 2\r\n\r\n{}`,
  'HTTP/2 in the clear': `${HEALTH.trimEnd()}\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n`,
};

test('whatever the framing, a connection is answered or ends, and makes nothing', async (t) => {
  const server = await startServer(t);
  const judge = async ([what, bytes]: [string, string]) => {
    const client = (await RawClient.open(t, server)).send(bytes);
    await client.end();
    assert.match(client.received, /^$|^HTTP\/1\.1 (100|200|400|404|408|431|505) /, what);
  };
  await Promise.all(Object.entries(UNUSUAL).map(judge));
  assert.equal((await ask(server, 'GET /healthz')).text, '{"status":"ok"}');
  assert.deepEqual(server.fake.calls, []);
  const loud = server.log.filter(({ level }) => level === 'error' || level === 'warn');
  assert.deepEqual(loud, []);
});
