// http, guests: whatever a client, a guest or node:http does to a request on its way to a guest, it has one answer, its
// stream ends, other requests are not affected, and the daemon continues.

import assert from 'node:assert/strict';
import type { RequestListener } from 'node:http';
import { type TestContext, test } from 'node:test';
import { LIMITS } from '../../../src/config/limits.ts';
import { outcome, RawClient } from '../harness.ts';
import { type Served, type ServeOptions, serve, until } from '../served.ts';

const PATH = '/api/v1/vms/one/agent/v1';

/** Tells what arrived, the values of headers as octets. */
const echo: RequestListener = (incoming, answer) => {
  const { method, url, rawHeaders } = incoming;
  answer.setHeader('Content-Type', 'application/json');
  answer.end(JSON.stringify({ method, url, rawHeaders }));
};

async function answerTo(t: TestContext, { port }: Served, request: string | Buffer) {
  const client = await RawClient.open(t, { address: { port } });
  return client.send(request).answer();
}

const head = (...lines: string[]) => `${lines.join('\r\n')}\r\nHost: localhost\r\n\r\n`;

/** The daemon is as it was: no stream is left, a request is answered, nothing waits for its end. */
async function expectWell(t: TestContext, served: Served): Promise<void> {
  await until(() => served.agentStreams.size === 0);
  const { status } = await answerTo(t, served, head(`GET ${PATH}/well HTTP/1.1`));
  assert.equal(status, 200);
  await served.server.drain(60_000);
}

test('what cannot be sent on is refused, as often as it comes, and leaves no stream behind', async (t) => {
  const served = await serve(t, { agent: echo });
  const refused: Record<string, string | Buffer> = {
    'a method that is no token': head(`G(T ${PATH}/ HTTP/1.1`),
    'an octet that is not UTF-8': Buffer.from(
      head(`GET ${PATH}/ HTTP/1.1`, 'X-A: a\xe4z'),
      'latin1',
    ),
    'a target beyond ASCII': head(`GET ${PATH}/\u00e4 HTTP/1.1`),
  };
  for (const [what, request] of Object.entries(refused)) {
    for (let round = 0; round < LIMITS.agentStreamsMax + 3; round += 1) {
      const answer = await answerTo(t, served, request);
      assert.equal(outcome(answer), '400 PARAMETER_INVALID', what);
    }
  }
  await expectWell(t, served);
});

test('header values arrive as the octets that they are', async (t) => {
  const served = await serve(t, { agent: echo });
  // The server takes octets beyond ASCII at the ends of a value for blanks: docs/security.md.
  const value = '(k\u00e4se \u20ac \u{1f600})';
  const { text } = await answerTo(t, served, head(`GET ${PATH}/ HTTP/1.1`, `X-A: ${value}`));
  const { rawHeaders } = JSON.parse(text) as { rawHeaders: string[] };
  const arrived = rawHeaders[rawHeaders.findIndex((name) => name.toLowerCase() === 'x-a') + 1];
  assert.equal(Buffer.from(arrived ?? '', 'latin1').toString(), value);
});

test('a request for another protocol is ignored, and does not reach the guest', async (t) => {
  const served = await serve(t, { agent: echo });
  const wishes = {
    h2c: [
      'Connection: Upgrade, HTTP2-Settings',
      'Upgrade: h2c',
      'HTTP2-Settings: AAMAAABkAAQAoAAA',
    ],
    'a WebSocket without its key': ['Connection: Upgrade', 'Upgrade: websocket'],
    TLS: ['Connection: upgrade', 'Upgrade: TLS/1.0'],
  };
  for (const [what, lines] of Object.entries(wishes)) {
    const { status, text } = await answerTo(t, served, head(`GET ${PATH}/ HTTP/1.1`, ...lines));
    assert.equal(status, 200, what);
    assert.doesNotMatch(text, /upgrade|http2/i, what);
  }
  await expectWell(t, served);
});

/** What guests answer that nobody has asked for, whatever was asked. */
const STRANGE: Record<string, string> = {
  'an unsolicited 101':
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n',
  'a 101 that says nothing': 'HTTP/1.1 101 OK\r\n\r\n',
  'no HTTP': 'SSH-2.0-OpenSSH_9.2\r\n',
  'a status that is none': 'HTTP/1.1 199 Hm\r\nContent-Length: 0\r\n\r\n',
  'nothing but the end': '',
};

async function serveStrange(t: TestContext, bytes: string, options: ServeOptions = {}) {
  const agent: RequestListener = ({ url, socket }, answer) => {
    if (url === '/v1/well') answer.end();
    else socket.end(bytes);
  };
  const served = await serve(t, { agent, ...options });
  const hello = served.engine.plugins.get('hello');
  const actions = { act: { method: 'POST', path: '/act' } };
  await served.engine.plugins.install({ ...hello, name: 'mine', actions });
  await served.engine.vms.create({ name: 'two', plugin: 'mine' });
  return served;
}

for (const [what, bytes] of Object.entries(STRANGE)) {
  test(`a guest that answers ${what} is said not to answer, at once`, async (t) => {
    const served = await serveStrange(t, bytes);
    const beganMs = performance.now();
    const proxied = await answerTo(t, served, head(`GET ${PATH}/strange HTTP/1.1`));
    assert.equal(outcome(proxied), '502 AGENT_UNREACHABLE');
    const action = await served.call('POST', '/api/v1/vms/two/actions/mine/act', {});
    assert.equal(action.status, 502);
    assert.ok(performance.now() - beganMs < 5_000, 'nobody waits for a time-out');
    await expectWell(t, served);
  });
}

test('a guest that breaks off in the middle, a client that goes, and both at once', async (t) => {
  const agent: RequestListener = ({ url, socket }, answer) => {
    if (url === '/v1/well') answer.end();
    else if (url === '/v1/half') {
      answer.writeHead(200, { 'Content-Length': 100 });
      answer.write('half', () => socket.destroy());
    } else answer.write('for ever');
  };
  const served = await serve(t, { agent });
  for (let round = 0; round < LIMITS.agentStreamsMax + 3; round += 1) {
    const { port } = served;
    const broken = await RawClient.open(t, { address: { port } });
    await broken.send(head(`GET ${PATH}/half HTTP/1.1`)).end();
    const gone = await RawClient.open(t, { address: { port } });
    gone.send(head(`POST ${PATH}/ever HTTP/1.1`, 'Content-Length: 9'));
    await until(() => served.agentStreams.size > 0);
    gone.socket.destroy();
    const both = await RawClient.open(t, { address: { port } });
    both.send(head(`GET ${PATH}/half HTTP/1.1`)).socket.destroy();
  }
  await expectWell(t, served);
});
