// bench: the load generator, against servers whose behaviour is known.

import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, type TestContext, test } from 'node:test';
import { type LoadOptions, programsDirectory, putLoad } from '../../bench/lib/programs.ts';
import { requireCapability } from '../helpers/capabilities.ts';

after(() => {
  const directory = programsDirectory();
  if (directory !== null) rmSync(directory, { recursive: true });
});

async function serve(t: TestContext, listener: RequestListener): Promise<number> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

const answer =
  (body: string): RequestListener =>
  (_, response) => {
    response.setHeader('Content-Length', body.length);
    response.end(body);
  };

const load = (port: number, more: Partial<LoadOptions> = {}) =>
  putLoad({ port, path: '/', connections: 4, seconds: 0.5, ...more });

test('closed loop: counts the answers, whatever their size', async (t) => {
  if (!requireCapability(t, 'gcc')) return;
  let asked = 0;
  for (const size of [0, 10, 200_000]) {
    asked = 0;
    const body = 'x'.repeat(size);
    const port = await serve(t, (request, response) => {
      asked += 1;
      answer(body)(request, response);
    });
    const result = await load(port);
    assert.equal(result.requests, asked);
    assert.ok(result.perSecond > 10 && result.generator > 0);
  }
});

test('open loop: a stall is charged to every request that should have been sent meanwhile', async (t) => {
  if (!requireCapability(t, 'gcc')) return;
  const stallMs = 300;
  let asked = 0;
  const port = await serve(t, (request, response) => {
    asked += 1;
    if (asked === 100) {
      const until = performance.now() + stallMs;
      while (performance.now() < until);
    }
    answer('ok')(request, response);
  });
  const result = await load(port, { seconds: 1, rate: 500 });
  assert.equal(result.requests, 500);
  // A third of the time nobody was answered: a client that waits would have sent one request for each connection.
  assert.ok(result.maxMs >= stallMs * 0.9, `${result.maxMs} ms`);
  assert.ok(result.p99Ms >= stallMs * 0.7, `${result.p99Ms} ms`);
});

test('open loop: a server that cannot keep up ends the run, and what it left waited', async (t) => {
  if (!requireCapability(t, 'gcc')) return;
  const port = await serve(t, (request, response) => {
    setTimeout(() => answer('ok')(request, response), 20);
  });
  const result = await load(port, { seconds: 0.3, rate: 2_000 });
  assert.equal(result.requests, 600);
  assert.ok(result.seconds < 3, `${result.seconds} s`);
  assert.ok(result.p99Ms > 300, `${result.p99Ms} ms`);
});

test('a request that fails ends the measurement', async (t) => {
  if (!requireCapability(t, 'gcc')) return;
  const port = await serve(t, (request, response) => {
    response.statusCode = 503;
    answer('busy')(request, response);
  });
  await assert.rejects(load(port, { seconds: 0.1 }), /requests for \/ failed/);
});
