// http: behaviour that depends on the binary of the HTTP server, and so on the version of Node. Behaviour of the daemon
// itself is the same everywhere, and tested elsewhere.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { eventually, RawClient, startServer, type TestServer } from './harness.ts';
import { type Outcome, SERVER } from './server-versions.ts';

const LINE = 'GET /healthz HTTP/1.1\r\n';
const REQUEST = `${LINE}Host: localhost\r\n\r\n`;

/**
 * Sends the parts as segments of their own and says what came back. One client at a time: many that look at the kernel's
 * table of sockets keep this thread so busy that the server gives up waiting for them.
 */
async function outcomeOf(t: TestContext, server: TestServer, parts: string[]): Promise<Outcome> {
  const client = await RawClient.open(t, server);
  client.socket.setNoDelay(true);
  for (const part of parts) {
    client.send(part);
    await eventually(
      () => hasReadAll(client),
      'the server has read it before the next one is sent',
    );
  }
  await eventually(() => client.received !== '' || client.ended, 'an answer or the end');
  client.socket.destroy();
  return client.received === '' ? 'silence' : Number(client.received.split(' ')[1]);
}

/** Whether no byte of this client waits in the kernel, on either side of its connection (proc_net_tcp). */
function hasReadAll({ socket }: RawClient): boolean {
  const port = `:${(socket.localPort ?? 0).toString(16).toUpperCase().padStart(4, '0')}`;
  const rows = readFileSync('/proc/self/net/tcp', 'utf8').trim().split('\n').slice(1);
  return rows
    .map((row) => row.trim().split(/\s+/))
    .filter(([, local, remote]) => local?.endsWith(port) || remote?.endsWith(port))
    .every(([, , , , queues]) => /^0+:0+$/.test(queues ?? ''));
}

test('a request line may come in two segments where the binary takes that', async (t) => {
  const server = await startServer(t);
  // The binary for Node 20 wants the line whole as soon as it has the method.
  const method = 'GET'.length;
  const places = Array.from({ length: REQUEST.length - 1 }, (_, index) => index + 1);
  const outcomes: Outcome[] = [];
  for (const at of places) {
    outcomes.push(await outcomeOf(t, server, [REQUEST.slice(0, at), REQUEST.slice(at)]));
  }
  const expected = places.map((at) =>
    at > method && at < LINE.length ? SERVER.dividedRequestLine : 200,
  );
  assert.deepEqual(outcomes, expected);
});

/** Requests with an answer that depends on the binary. */
const REQUESTS: Readonly<Record<keyof typeof SERVER, readonly string[]>> = {
  dividedRequestLine: ['GET /hea', 'lthz HTTP/1.1\r\nHost: localhost\r\n\r\n'],
  methodAlone: ['GET\r\n\r\n'],
  withoutHost: [`${LINE}\r\n`],
  foldedHeader: [`${LINE}Host: localhost\r\nA: b\r\n c\r\n\r\n`],
  blankInHeaderName: [`${LINE}Host: localhost\r\nA : b\r\n\r\n`],
  twoHosts: [`${LINE}Host: localhost\r\nHost: localhost\r\n\r\n`],
  unusualHeaderName: [`${LINE}Host: localhost\r\nX_A.b: c\r\n\r\n`],
  manyHeaders: [`${LINE}Host: localhost\r\n${'A: b\r\n'.repeat(200)}\r\n`],
  largeHead: [`${LINE}Host: localhost\r\nA: ${'a'.repeat(5000)}\r\n\r\n`],
};

test('each request gets the answer that docs/systems.md describes', async (t) => {
  const server = await startServer(t);
  const outcomes: Record<string, Outcome> = {};
  for (const [what, parts] of Object.entries(REQUESTS)) {
    outcomes[what] = await outcomeOf(t, server, [...parts]);
  }
  assert.deepEqual(outcomes, SERVER);
});

test('whatever the binary, these are answered alike', async (t) => {
  const server = await startServer(t);
  const body = (...headers: string[]) =>
    `POST /api/v1/vms HTTP/1.1\r\nHost: localhost\r\n${headers.join('\r\n')}\r\n\r\n`;
  const cases: readonly (readonly [string[], Outcome])[] = [
    [['GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n'], 505],
    [['GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n'], 505],
    [['OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n'], 505],
    [[`${LINE}Host: localhost\r\nA: ${'a'.repeat(2500)}`, `${'a'.repeat(2500)}\r\n\r\n`], 431],
    [[body('Content-Length: 5', 'Transfer-Encoding: chunked')], 400],
  ];
  for (const [parts, expected] of cases) {
    assert.equal(await outcomeOf(t, server, parts), expected, parts.join(''));
  }
});
