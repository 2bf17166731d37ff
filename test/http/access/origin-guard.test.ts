// http, access: what a page in a browser can make this server do, tested with the headers of browsers: nothing, unless its
// origin is listed. e2e/browser.test.ts uses a real browser.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ConfigError, loadConfig } from '../../../src/config.ts';
import { EVERY_ROUTE } from '../every-route.ts';
import { createFakeEngine, vmRecord } from '../fake-engine.ts';
import {
  ask,
  outcome,
  RawClient,
  type RequestOptions,
  startServer,
  type TestServer,
} from '../harness.ts';

const ORIGIN = 'https://console.example';
const JSON_BODY = { 'Content-Type': 'application/json' };

function serverWith(t: TestContext, environment: Record<string, string> = {}): Promise<TestServer> {
  const fake = createFakeEngine();
  fake.vms.put(vmRecord(1, 'one'));
  return startServer(t, { fake, environment });
}

type Headers = Readonly<Record<string, string>>;

/** What a browser sends when its user follows a link on a page of another site. */
function visit(other: Headers): Headers {
  return {
    'Sec-Fetch-Site': 'cross-site',
    'Sec-Fetch-Mode': 'navigate',
    'Sec-Fetch-Dest': 'document',
    ...other,
  };
}

/** What comes with the request of a page that may not, and the answer. */
const FOREIGN: readonly (readonly [string, Headers, string])[] = [
  ['another origin', { Origin: 'http://evil.example' }, 'ORIGIN_FORBIDDEN'],
  ['an opaque origin', { Origin: 'null' }, 'ORIGIN_FORBIDDEN'],
  ['another port', { Origin: 'http://localhost:3000', Host: 'localhost:7777' }, 'ORIGIN_FORBIDDEN'],
  ['what is no origin', { Origin: 'file://' }, 'ORIGIN_FORBIDDEN'],
  ['an image of a page', { 'Sec-Fetch-Site': 'cross-site' }, 'ORIGIN_FORBIDDEN'],
  ['an image of another port', { 'Sec-Fetch-Site': 'same-site' }, 'ORIGIN_FORBIDDEN'],
  ['a link or a redirect', visit({}), 'ORIGIN_FORBIDDEN'],
  ['what no browser says yet', { 'Sec-Fetch-Site': 'cross-planet' }, 'ORIGIN_FORBIDDEN'],
  ['a name that leads here', { Host: 'evil.example:7777' }, 'HOST_FORBIDDEN'],
  [
    'a page of that name',
    { Host: 'evil.example', Origin: 'http://evil.example', 'Sec-Fetch-Site': 'same-origin' },
    'HOST_FORBIDDEN',
  ],
];

/** The dashboard is code without data, so that a link may lead to it. */
const isOpenToVisits = (who: string, target: string) =>
  who === 'a link or a redirect' && target.startsWith('GET /ui');

for (const [who, foreign, code] of FOREIGN) {
  test(`no route obeys ${who}`, async (t) => {
    const server = await serverWith(t);
    for (const { target, headers, body } of EVERY_ROUTE) {
      if (isOpenToVisits(who, target)) continue;
      const options: RequestOptions = {
        headers: { ...headers, ...JSON_BODY, ...foreign },
        ...(body === undefined ? {} : { body }),
      };
      const answer = await ask(server, target, options);
      if (target.startsWith('HEAD')) assert.equal(answer.status, 403, target);
      else assert.equal(outcome(answer), `403 ${code}`, target);
      assert.equal(answer.headers['access-control-allow-origin'], undefined, target);
    }
    assert.deepEqual(server.fake.calls, []);
  });
}

test('a link on another site opens the dashboard, and nothing else', async (t) => {
  const uiDirectory = mkdtempSync(join(tmpdir(), 'volant-http-'));
  t.after(() => rmSync(uiDirectory, { recursive: true }));
  writeFileSync(join(uiDirectory, 'index.html'), '<!doctype html>');
  const server = await startServer(t, { uiDirectory });
  const statusOf = async (target: string, headers: Headers) =>
    (await ask(server, target, { headers })).status;
  assert.equal(await statusOf('GET /ui', visit({})), 308);
  assert.equal(await statusOf('GET /ui/', visit({})), 200);
  assert.equal(await statusOf('GET /ui/', visit({ 'Sec-Fetch-Site': 'same-site' })), 200);
  for (const [target, headers] of [
    ['GET /ui/', visit({ 'Sec-Fetch-Dest': 'iframe' })],
    ['GET /ui/', visit({ 'Sec-Fetch-Mode': 'no-cors', 'Sec-Fetch-Dest': 'script' })],
    ['GET /ui/', visit({ Origin: 'http://evil.example' })],
    ['GET /ui/', visit({ Origin: 'null' })],
    ['GET /ui/', visit({ Host: 'evil.example' })],
    ['POST /ui/', visit({})],
    ['HEAD /ui/', visit({})],
    ['GET /api/v1/vms', visit({})],
    ['GET /uix', visit({})],
    ['GET /openapi', visit({})],
  ] as const) {
    const status = await statusOf(target, headers);
    assert.equal(status, 403, `${target} ${JSON.stringify(headers)}`);
  }
});

test('a key does not make a page another one', async (t) => {
  const server = await serverWith(t, { VOLANT_API_KEY: 'secret' });
  for (const [who, foreign, code] of FOREIGN) {
    for (const target of ['GET /api/v1/vms', 'GET /api/v1/events/vms?api_key=secret']) {
      const headers = { 'X-Volant-API-Key': 'secret', ...foreign };
      assert.equal(outcome(await ask(server, target, { headers })), `403 ${code}`, who);
    }
  }
});

test('no route takes a path that climbs, and none carries out what it would mean', async (t) => {
  const server = await serverWith(t);
  const climbing = ['..', '.', '%2e%2e', '.%2E', '%2e', '%252e%252e', '..%2f', '..%5c', '..\\'];
  for (const dots of climbing) {
    for (const path of [
      `/api/v1/vms/one/agent/${dots}/${dots}/two`,
      `/api/v1/vms/${dots}/two`,
      `/api/v1/vms/${dots}`,
      `/api/v1/vms/one/agent/v1/x%2f${dots}`,
      `/api/v1/vms/one/agent/v1/x%5C${dots}`,
      `/api/v1/vms/one/agent/v1/x%252f${dots}`,
      `/ws/v1/vms/${dots}/console`,
      `/${dots}/api/v1/vms/one`,
    ]) {
      for (const method of ['GET', 'DELETE']) {
        const client = await RawClient.open(t, server);
        client.head(`${method} ${path} HTTP/1.1`, 'Host: localhost');
        assert.equal(outcome(await client.answer()), '400 PARAMETER_INVALID', `${method} ${path}`);
        client.socket.destroy();
      }
    }
  }
  for (const path of ['/api/v1/vms/...', '/api/v1/vms/.a', '/api/v1/vms/a..', '/api/v1/vms/..a']) {
    assert.equal(outcome(await ask(server, `GET ${path}`)), '404 VM_NOT_FOUND', path);
  }
  assert.deepEqual(server.fake.calls, []);
});

test('addresses, localhost and configured names are hosts of this server', async (t) => {
  const server = await serverWith(t, {
    VOLANT_API_HOSTS: 'volant.example, Second.Example.',
    VOLANT_API_ADVERTISE: 'advertised.example:7777',
  });
  const statusOf = async (host: string) => {
    const { status } = await ask(server, 'GET /api/v1/vms', { headers: { Host: host } });
    return status;
  };
  for (const host of [
    '127.0.0.1:7777',
    '10.1.2.3',
    '[::1]:7777',
    '[fe80::1%25eth0]:7777',
    '[::FFFF:127.0.0.1]',
    '127.1',
    '0x7f000001:80',
    'localhost',
    'LOCALHOST:7777',
    'localhost.:7777',
    'volant.example',
    'VOLANT.example.:443',
    'second.example:8443',
    'advertised.example',
  ]) {
    assert.equal(await statusOf(host), 200, host);
    // One that was right does not make the next one right.
    for (const other of ['', '.localhost', '-localhost', '.example', '.1.nip.io']) {
      const wrong = other === '' ? `x${host.replace(/[[\]]/g, 'x')}.evil` : `evil${other}`;
      assert.equal(await statusOf(wrong), 403, wrong);
    }
  }
});

test('a unix socket has no name that could lead to it, so any Host will do', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'volant-http-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const server = await serverWith(t, { VOLANT_API_LISTEN: `unix:${join(directory, 'api.sock')}` });
  const of = async (headers: Headers) => outcome(await ask(server, 'GET /api/v1/vms', { headers }));
  assert.equal(await of({ Host: 'docker' }), '200');
  // Behind a proxy that serves a name, a page of that name is as foreign as on TCP.
  const page = { Host: 'evil.example', Origin: 'http://evil.example' };
  assert.equal(await of(page), '403 ORIGIN_FORBIDDEN');
  assert.equal(await of({ 'Sec-Fetch-Site': 'cross-site' }), '403 ORIGIN_FORBIDDEN');
});

test('pages of named origins and of this server are obeyed', async (t) => {
  const server = await serverWith(t, {
    VOLANT_CORS_ORIGINS: ORIGIN,
    VOLANT_API_HOSTS: 'volant.example',
  });
  const good: Headers[] = [
    { Origin: ORIGIN },
    { Origin: ORIGIN, 'Sec-Fetch-Site': 'cross-site' },
    { Origin: 'http://localhost:81', Host: 'localhost:81', 'Sec-Fetch-Site': 'same-origin' },
    { Origin: 'http://127.0.0.1', Host: '127.0.0.1:80' },
    { Origin: 'https://volant.example', Host: 'volant.example' },
    { Origin: 'https://volant.example', Host: 'VOLANT.example:443' },
    { 'Sec-Fetch-Site': 'same-origin' },
    { 'Sec-Fetch-Site': 'none', 'Sec-Fetch-Mode': 'navigate' },
  ];
  for (const headers of good) {
    const { status } = await ask(server, 'GET /api/v1/vms', { headers });
    assert.equal(status, 200, JSON.stringify(headers));
  }
  const bad: Headers[] = [
    { Origin: 'https://volant.example:444', Host: 'volant.example' },
    { Origin: 'https://127.0.0.1.evil.example', Host: '127.0.0.1' },
    { Origin: 'http://localhost:81', Host: 'localhost:81', 'Sec-Fetch-Site': 'same-site' },
    // Its page may ask with CORS, which names it; nobody can tell whose an image is.
    { 'Sec-Fetch-Site': 'cross-site', Referer: `${ORIGIN}/` },
  ];
  for (const headers of bad) {
    const answer = await ask(server, 'GET /api/v1/vms', { headers });
    assert.equal(outcome(answer), '403 ORIGIN_FORBIDDEN', JSON.stringify(headers));
  }
});

test('"*" is every origin but the one that anybody can have', async (t) => {
  const server = await serverWith(t, { VOLANT_CORS_ORIGINS: '*' });
  const of = async (origin: string) =>
    outcome(await ask(server, 'GET /api/v1/vms', { headers: { Origin: origin } }));
  assert.equal(await of('http://anybody.example'), '200');
  assert.equal(await of('null'), '403 ORIGIN_FORBIDDEN');
});

test('a page must say that its body is JSON, a program need not', async (t) => {
  const server = await serverWith(t, { VOLANT_CORS_ORIGINS: ORIGIN });
  let count = 0;
  const create = async (headers: Headers, body?: readonly string[]) => {
    count += 1;
    const options = { headers, body: body ?? JSON.stringify({ name: `vm-${count}` }) };
    return outcome(await ask(server, 'POST /api/v1/vms', options));
  };
  for (const type of [
    '',
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'text/plain; application/json',
    'application/jsonp',
  ]) {
    const headers = { Origin: ORIGIN, ...(type === '' ? {} : { 'Content-Type': type }) };
    assert.equal(await create(headers), '415 CONTENT_TYPE_UNSUPPORTED', type);
    assert.equal(await create(headers, ['{}']), '415 CONTENT_TYPE_UNSUPPORTED', `${type}, chunked`);
  }
  assert.deepEqual(server.fake.calls, []);
  for (const type of [
    'application/json',
    'Application/JSON; charset=utf-8',
    'application/a+json',
  ]) {
    assert.equal(await create({ Origin: ORIGIN, 'Content-Type': type }), '201', type);
  }
  assert.equal(await create({ 'Content-Type': 'text/plain' }), '201');
  assert.equal(await create({}), '201');
  const stop = { headers: { Origin: ORIGIN, 'Content-Length': '0' } };
  assert.equal(outcome(await ask(server, 'POST /api/v1/vms/one/stop', stop)), '200');
});

test('a connection continues after a refusal, and the refused body is no request', async (t) => {
  const server = await serverWith(t);
  const client = await RawClient.open(t, server);
  const body = 'DELETE /api/v1/vms/one HTTP/1.1\r\nHost: localhost\r\n\r\n';
  for (const length of [`Content-Length: ${body.length}`, 'Transfer-Encoding: chunked']) {
    const sent = length.startsWith('C')
      ? body
      : `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
    const head = ['POST /api/v1/vms HTTP/1.1', 'Host: localhost', 'Origin: null', length];
    client.head(...head).send(sent);
    assert.equal(outcome(await client.answer()), '403 ORIGIN_FORBIDDEN');
    client.head('GET /api/v1/vms HTTP/1.1', 'Host: localhost');
    assert.equal(outcome(await client.answer()), '200');
  }
  assert.deepEqual(server.fake.calls, []);
});

test('settings that name no host and no origin are refused', () => {
  const problemsOf = (environment: Record<string, string>) => {
    try {
      loadConfig(environment);
      return [];
    } catch (error) {
      assert.ok(error instanceof ConfigError);
      return error.problems;
    }
  };
  for (const name of ['http://a.example', 'a.example:80', '*', '*.example', 'a..b', '[::1]']) {
    assert.match(problemsOf({ VOLANT_API_HOSTS: name }).join(), /VOLANT_API_HOSTS/, name);
  }
  assert.match(problemsOf({ VOLANT_CORS_ORIGINS: 'null' }).join(), /VOLANT_CORS_ORIGINS/);
  assert.deepEqual(problemsOf({ VOLANT_API_HOSTS: 'a, b.example, c-d.example.' }), []);
});
