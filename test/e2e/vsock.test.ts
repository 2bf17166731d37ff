// e2e: a guest without a network card: what the host offers it goes over the agent's channel.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { requireCapability } from '../helpers/capabilities.ts';
import { startDaemon } from './daemon.ts';
import { installProbe } from './probe-image.ts';

const WORKLOAD_PORT = 8000;
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
      signal: AbortSignal.timeout(20_000),
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

test('udp needs an address, and is refused by name', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: 'simulator' });
  const config = exposing(18180, { protocol: 'udp' });
  const answer = await daemon.call('POST', '/api/v1/vms', { name: 'a', plugin: 'hello', config });
  assert.equal(answer.body.code, 'FEATURE_UNAVAILABLE');
  assert.deepEqual(Object.keys(answer.body.details), ['expose.0.protocol']);
});
