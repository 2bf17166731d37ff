// http: GET /metrics and what is counted of requests: operations instead of paths, also of what is refused, and a bound on
// answers with metrics.

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { LIMITS } from '../../src/config/limits.ts';
import { OPERATIONS } from '../../src/schema/operations.ts';
import { serve, until } from './served.ts';

type Served = Awaited<ReturnType<typeof serve>>;

async function metricsOf({ call }: Served): Promise<string> {
  const response = await call('GET', '/metrics');
  assert.equal(response.status, 200);
  return response.text();
}

const requestsIn = (text: string) =>
  [...text.matchAll(/^volant_http_requests_total\{operation="(.*?)",code="(.*?)"\} (\d+)$/gm)].map(
    ([, operation, code, count]) => `${operation} ${code} ${count}`,
  );

test('requests are counted by operation and status, never by path', async (t) => {
  const served = await serve(t);
  const { call, url } = served;
  for (const name of ['one', 'one', 'none-of-this-name', 'nor%2Fthis']) {
    await (await call('GET', `/api/v1/vms/${name}`)).text();
  }
  await call('HEAD', '/api/v1/vms/one');
  await call('POST', '/api/v1/vms', { name: '?' });
  await call('GET', '/no/such/path');
  await call('PUT', '/api/v1/vms/one');
  await fetch(`${url}/api/v1/vms`, { headers: { 'Sec-Fetch-Site': 'cross-site' } });
  const text = await metricsOf(served);
  assert.deepEqual(requestsIn(text).toSorted(), [
    'createVM 400 1',
    'getVMByName 200 3',
    'getVMByName 404 2',
    'none 403 1',
    'none 404 1',
    'none 405 1',
  ]);
  assert.match(text, /duration_seconds_count\{operation="getVMByName"\} 5$/m);
  assert.match(text, /duration_seconds_bucket\{operation="getVMByName",le="\+Inf"\} 5$/m);
  const again = requestsIn(await metricsOf(served));
  assert.ok(again.includes('getMetrics 200 1'), 'a scrape counts when it is complete');
});

test('a stream counts when it ends, without a duration; one who goes before an answer is aborted', async (t) => {
  const served = await serve(t);
  const reading = new AbortController();
  const events = await fetch(`${served.url}/api/v1/events`, { signal: reading.signal });
  assert.equal(events.status, 200);
  assert.match(await metricsOf(served), /^volant_event_streams 1$/m);
  reading.abort();
  const socket = connect(served.port, '127.0.0.1');
  socket.write('POST /api/v1/vms HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{"n');
  await new Promise((resolve) => setTimeout(resolve, 50));
  socket.destroy();
  const wanted = ['streamEvents 200 1', 'createVM aborted 1'];
  let text = '';
  for (let isThere = false; !isThere; ) {
    text = await metricsOf(served);
    const counted = requestsIn(text);
    isThere = wanted.every((one) => counted.includes(one));
  }
  assert.doesNotMatch(text, /duration_seconds_count\{operation="(streamEvents|createVM)"\}/);
  assert.match(text, /^volant_event_streams 0$/m);
});

test('the form is that of Prometheus, or OpenMetrics for those who ask for it', async (t) => {
  const { call, url } = await serve(t);
  const plain = await call('GET', '/metrics');
  assert.equal(plain.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
  assert.doesNotMatch(await plain.text(), /# EOF/);
  const accept = 'application/openmetrics-text;version=1.0.0,text/plain;q=0.5';
  const open = await fetch(`${url}/metrics`, { headers: { accept } });
  const type = 'application/openmetrics-text; version=1.0.0; charset=utf-8';
  assert.equal(open.headers.get('content-type'), type);
  assert.match(await open.text(), /\n# EOF\n$/);
  const { otherwise, contentType } = OPERATIONS.getMetrics.answers[200];
  assert.deepEqual(
    [contentType, Object.keys(otherwise)],
    [plain.headers.get('content-type'), [type]],
  );
});

test('answers that nobody reads are bounded, and their end makes room', async (t) => {
  const served = await serve(t);
  let begun = 0;
  served.world.host.stats.beforeReading = async () => undefined;
  // So much that a socket does not take it at once.
  const families = served.engine.stats.families.bind(served.engine.stats);
  Object.assign(served.engine.stats, {
    families: async () => {
      begun += 1;
      const many = {
        name: 'many',
        type: 'gauge',
        help: 'Many',
        labels: ['n'],
        *samples() {
          for (let n = 0; n < 400_000; n += 1) yield ['', `{n="${n}"}`, n];
        },
      };
      return [...(await families()), many];
    },
  });
  const sockets = Array.from({ length: LIMITS.metricsAnswersMax }, () => {
    const socket = connect(served.port, '127.0.0.1');
    socket.pause();
    socket.write('GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n');
    return socket;
  });
  t.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  await until(() => begun === LIMITS.metricsAnswersMax);
  const refused = await served.call('GET', '/metrics');
  assert.equal(refused.status, 503);
  assert.equal(refused.headers.get('retry-after'), '1');
  for (const socket of sockets) socket.destroy();
  let status = 503;
  while (status === 503) {
    const response = await served.call('GET', '/metrics');
    await response.body?.cancel();
    status = response.status;
  }
  assert.equal(status, 200);
});
