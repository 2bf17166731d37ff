// e2e: the agent's routes in a real guest without a network card: through the agent's channel and the serial port.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import WebSocket from 'ws';
import { LIMITS } from '../../src/config/limits.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { DocumentChecker } from '../helpers/document.ts';
import { type Daemon, startDaemon } from './daemon.ts';
import { installProbe } from './probe-image.ts';

const VM = '/api/v1/vms/quiet';
const GUEST_TIMEOUT_MS = 60_000;

/** A VM without a network card, whose workload answers. */
async function startQuiet(t: TestContext): Promise<Daemon> {
  const daemon = await startDaemon(t);
  const served = join(daemon.home, 'overlay/srv');
  mkdirSync(join(served, 'pages'), { recursive: true });
  writeFileSync(join(served, 'pages/index.html'), 'the page');
  writeFileSync(join(served, 'openapi'), '{"openapi": "3.0.3", "paths": {}}');
  await installProbe(daemon, {
    actions: {
      echo: { method: 'POST', path: '/cgi-bin/echo' },
      gone: { method: 'GET', path: '/v1/cgi-bin/nothing-here' },
    },
  });
  await daemon.createVm('quiet', { plugin: 'probe', config: { network: { mode: 'vsock' } } });
  await askUntilOk(daemon);
  return daemon;
}

/** The agent is there some time after the hypervisor, and the workload after the agent. */
async function askUntilOk(daemon: Daemon): Promise<string> {
  const deadline = Date.now() + GUEST_TIMEOUT_MS;
  for (;;) {
    const answer = await daemon.call('GET', `${VM}/agent/v1/cgi-bin/hostname`);
    if (answer.status === 200) return answer.text;
    if (Date.now() > deadline) throw new Error(`${answer.status}: ${answer.text}`);
    await pause(50);
  }
}

interface Viewer {
  readonly socket: WebSocket;
  text(): string;
  readonly closed: Promise<number>;
}

async function view(t: TestContext, daemon: Daemon, what: string): Promise<Viewer> {
  const socket = new WebSocket(`${daemon.url.replace('http', 'ws')}/ws/v1/vms/quiet/${what}`);
  t.after(() => socket.terminate());
  let text = '';
  socket.on('message', (data) => {
    text += `${data}`;
  });
  const closed = once(socket, 'close').then(([code]) => Number(code));
  await once(socket, 'open');
  return { socket, text: () => text, closed };
}

async function untilMatch(viewer: Viewer, pattern: RegExp): Promise<void> {
  const deadline = Date.now() + GUEST_TIMEOUT_MS;
  while (!pattern.test(viewer.text())) {
    if (Date.now() > deadline) throw new Error(`no ${pattern} in:\n${viewer.text()}`);
    await pause(20);
  }
}

/** Reads the log so often that no client gets another stream to the guest. */
async function holdEveryStream(daemon: Daemon): Promise<AbortController> {
  const held = new AbortController();
  for (let count = 0; count < LIMITS.agentStreamsMax; count += 1) {
    const { status } = await fetch(`${daemon.url}${VM}/agent/v1/logs/stream`, {
      signal: held.signal,
    });
    assert.equal(status, 200);
  }
  return held;
}

test('requests, large answers, uploads, actions and the document go through the agent’s channel', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startQuiet(t);
  assert.equal(await askUntilOk(daemon), 'quiet\n');
  const health = await daemon.call('GET', `${VM}/agent/healthz`);
  assert.equal(health.body.status, 'ok');
  const large = await fetch(`${daemon.url}${VM}/agent/v1/cgi-bin/large`);
  assert.equal((await large.arrayBuffer()).byteLength, 20_000_000);
  const upload = await fetch(`${daemon.url}${VM}/agent/v1/cgi-bin/count`, {
    method: 'POST',
    body: Buffer.alloc(3_000_000),
  });
  assert.equal((await upload.text()).trim(), '3000000');
  const echoed = await daemon.call('POST', `${VM}/actions/probe/echo`, { words: ['a', 'b'] });
  assert.deepEqual(echoed.body, { host: 'quiet', got: { words: ['a', 'b'] } });
  const gone = await daemon.call('POST', `${VM}/actions/probe/gone`, {});
  assert.deepEqual([gone.status, gone.body.code], [404, 'ACTION_FAILED']);
  const document = await daemon.call('GET', `${VM}/openapi`);
  assert.deepEqual([document.status, document.body.openapi], [200, '3.0.3']);
  // The workload's server redirects a directory to its own path with a slash.
  const page = await fetch(`${daemon.url}${VM}/agent/v1/pages`);
  assert.deepEqual([page.status, await page.text()], [200, 'the page']);
  assert.equal(page.url, `${daemon.url}${VM}/agent/v1/pages/`);
  const held = await holdEveryStream(daemon);
  const busy = await daemon.call('GET', `${VM}/openapi`);
  assert.deepEqual([busy.status, busy.body.code], [503, 'OVERLOADED']);
  const checker = new DocumentChecker((await daemon.call('GET', '/openapi')).body);
  const problems = [
    ...checker.check('POST', `${VM}/actions/probe/echo`, echoed),
    ...checker.check('POST', `${VM}/actions/probe/gone`, gone),
    ...checker.check('GET', `${VM}/openapi`, document),
    ...checker.check('GET', `${VM}/openapi`, busy),
  ];
  assert.deepEqual(problems, [], 'the answers are those of the document');
  held.abort();
  while ((await daemon.call('GET', `${VM}/openapi`)).status !== 200) await pause(50);
  const refused = await daemon.call('POST', `${VM}/agent/agent/poweroff`);
  assert.equal(refused.status, 404);
  assert.equal((await daemon.getVm('quiet')).status, 'running');
});

test('console and log are seen by everybody, by a new daemon too, and end with the VM', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startQuiet(t);
  const first = await view(t, daemon, 'console');
  await untilMatch(first, /workload-started/);
  const second = await view(t, daemon, 'console');
  const log = await view(t, daemon, 'logs?tail=5');
  await untilMatch(log, /"line":"workload-started"/);
  const line = JSON.parse(/\{.*?workload-started.*?\}/.exec(log.text())?.[0] ?? '');
  assert.deepEqual([line.name, line.stream], ['quiet', 'stdout']);
  await daemon.call('GET', `${VM}/agent/v1/cgi-bin/console`);
  for (const viewer of [first, second]) await untilMatch(viewer, /to-the-console/);
  second.socket.send('typed into the guest\n');

  await daemon.killAndRestart();
  await askUntilOk(daemon);
  const again = await view(t, daemon, 'console');
  await untilMatch(again, /to-the-console/);
  const logAgain = await view(t, daemon, 'logs');
  await untilMatch(logAgain, /workload-started/);
  assert.equal((await daemon.call('POST', `${VM}/stop`)).status, 200);
  assert.deepEqual(await Promise.all([again.closed, logAgain.closed]), [1000, 1000]);
  await untilMatch(again, /powering off/);
});
