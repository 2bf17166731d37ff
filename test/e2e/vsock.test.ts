// e2e: a guest without a network card: it uses services of the host through the agent's channel.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { PROJECT_ROOT, requireCapability } from '../helpers/capabilities.ts';
import { type Daemon, startDaemon } from './daemon.ts';
import { installProbe } from './probe-image.ts';

const WORKLOAD_PORT = 8000;
const UDP_PORT = 9000;
const network = { mode: 'vsock' };
const exposing = (host_port: number, more: object = {}) => ({
  network,
  expose: [{ port: WORKLOAD_PORT, host_port, ...more }],
});

/** What the host's port answers; null when the connection is refused or broken off. */
async function answerOf(hostPort: number, path: string, body?: Buffer): Promise<string | null> {
  try {
    const response = await fetch(`http://127.0.0.1:${hostPort}/cgi-bin/${path}`, {
      ...(body === undefined ? {} : { method: 'POST', body }),
      headers: { connection: 'close' },
      signal: AbortSignal.timeout(120_000),
    });
    return (await response.text()).trim();
  } catch (error) {
    if (error instanceof TypeError) return null;
    throw error;
  }
}

async function until(hostPort: number, wanted: string): Promise<void> {
  for (let tries = 0; tries < 300; tries += 1) {
    if ((await answerOf(hostPort, 'hostname')) === wanted) return;
    await pause(50);
  }
  throw new Error(`port ${hostPort} does not lead to ${wanted}`);
}

test('host ports lead to a guest without a network card, change while it runs, and are free after a stop', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t);
  await installProbe(daemon);
  const vm = await daemon.createVm('quiet', { plugin: 'probe', config: exposing(18180) });
  assert.deepEqual([vm.ip_address, daemon.taps()], ['', []]);
  await until(18180, 'quiet');
  assert.equal(await answerOf(18180, 'links'), 'lo');

  const large = Buffer.alloc(3_000_000, 'x');
  assert.equal(await answerOf(18180, 'count', large), String(large.length));
  assert.equal((await answerOf(18180, 'large'))?.length, 20_000_000);

  const patched = await daemon.call('PATCH', '/api/v1/vms/quiet/config', {
    expose: [...exposing(18181).expose, { port: 9, host_port: 18182 }],
  });
  assert.equal(patched.status, 200, patched.text);
  assert.equal(await answerOf(18181, 'hostname'), 'quiet');
  assert.equal(await answerOf(18180, 'hostname'), null, 'it is given back');
  assert.equal(await answerOf(18182, 'hostname'), null, 'nobody listens in the guest');
  assert.equal((await daemon.getVm('quiet')).pid, vm.pid, 'without a restart');

  // One that only waits is no reason for a stop to wait.
  const idle = connect(18181, '127.0.0.1');
  await once(idle, 'connect');
  idle.on('error', () => undefined);
  const stopped = await daemon.call('POST', '/api/v1/vms/quiet/stop');
  assert.equal(stopped.body.status, 'stopped', stopped.text);
  if (!idle.closed) await once(idle, 'close');
  assert.equal(await answerOf(18181, 'hostname'), null);
});

test('a balanced port goes round guests without a network card; the next daemon serves it, too', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t);
  await installProbe(daemon);
  const made = await daemon.call('POST', '/api/v1/deployments?wait=ready', {
    name: 'set',
    replicas: 2,
    config: { plugin: 'probe', ...exposing(18190, { balanced: true }) },
  });
  assert.equal(made.status, 201, made.text);
  const names = new Set<string | null>();
  for (let turn = 0; turn < 4; turn += 1) names.add(await answerOf(18190, 'hostname'));
  assert.deepEqual([...names].sort(), ['set-1', 'set-2']);
  await daemon.killAndRestart();
  await until(18190, 'set-1');
});

/** Answers of a UDP port: of one sender, which asks again until there is one, for datagrams may be lost. */
async function udpClient(t: TestContext, hostPort: number) {
  const socket = createSocket('udp4');
  t.after(() => socket.close());
  socket.connect(hostPort, '127.0.0.1');
  await once(socket, 'connect');
  socket.on('error', () => undefined);
  const answers: string[] = [];
  socket.on('message', (message) => answers.push(String(message)));
  return async (text: string): Promise<string> => {
    // Answers to what was asked twice may come late.
    const found = () => answers.find((answer) => answer.endsWith(` ${text}`));
    for (let tries = 0; tries < 100 && found() === undefined; tries += 1) {
      socket.send(text);
      for (let looks = 0; looks < 20 && found() === undefined; looks += 1) await pause(25);
    }
    return found() ?? assert.fail(`no answer from port ${hostPort}`);
  };
}

/** The probe with a UDP server beside its own. */
async function installUdpProbe(daemon: Daemon): Promise<void> {
  const directory = join(daemon.home, 'overlay/bin');
  mkdirSync(directory, { recursive: true });
  const source = join(PROJECT_ROOT, 'test/e2e/udp-echo.c');
  execFileSync('musl-gcc', ['-static', '-o', join(directory, 'udp-echo'), source]);
  const serve = `udp-echo ${UDP_PORT} & exec httpd -f -p 127.0.0.1:${WORKLOAD_PORT} -h /srv`;
  await installProbe(daemon, {
    workload: {
      type: 'http',
      base_url: `http://127.0.0.1:${WORKLOAD_PORT}`,
      entrypoint: ['/bin/sh', '-c', serve],
    },
  });
}

test('datagrams reach guests without a network card, those of one sender the same guest', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t);
  await installUdpProbe(daemon);
  const expose = [{ port: UDP_PORT, host_port: 18195, protocol: 'udp', balanced: true }];
  const made = await daemon.call('POST', '/api/v1/deployments?wait=ready', {
    name: 'set',
    replicas: 2,
    config: { plugin: 'probe', network, expose },
  });
  assert.equal(made.status, 201, made.text);
  const clients = await Promise.all([1, 2, 3, 4].map(() => udpClient(t, 18195)));
  const guests = new Set<string>();
  for (const ask of clients) {
    const [guest = '', word] = (await ask('hello')).split(' ');
    assert.equal(word, 'hello');
    guests.add(guest);
    assert.equal(await ask('again'), `${guest} again`, 'it stays with its guest');
  }
  assert.deepEqual([...guests].sort(), ['set-1', 'set-2']);
  const large = 'x'.repeat(40_000);
  const ask = clients[0];
  assert.ok((await ask?.(large))?.endsWith(large));
});
