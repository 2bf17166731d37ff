// e2e: a guest that boots with a broken clock, and a fleet that starts at once on an idle host.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { requireCapability } from '../helpers/capabilities.ts';
import { askGuest, type Daemon, startDaemon } from './daemon.ts';
import { testFleet } from './fleets.ts';

/** The types of the events of VMs so far, oldest first. */
async function eventTypes({ url }: Daemon): Promise<readonly string[]> {
  const ended = new AbortController();
  const response = await fetch(`${url}/api/v1/events/vms?after=0`, { signal: ended.signal });
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.includes('VM_CRASHED')) break;
  }
  ended.abort();
  return [...text.matchAll(/"type":"(\w+)"/g)].map(([, type = '']) => type);
}

test('a guest whose clock is broken is launched again, so often, and is never ready', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t);
  // The kernel does without the only clock event device that its machine has.
  const broken = { name: 'broken', plugin: 'hello', kernel_cmdline: 'nolapic_timer' };
  const create = await daemon.call('POST', '/api/v1/vms?wait=ready&timeout=29000', broken);
  assert.notEqual(create.status, 201);
  const vm = await daemon.waitFor('broken', 'crashed');
  assert.equal(vm.pid, undefined);
  const launches = ['VM_RUNNING', 'VM_RELAUNCHED'];
  const expected = [
    'VM_CREATED',
    ...launches,
    ...launches,
    ...launches,
    'VM_RUNNING',
    'VM_CRASHED',
  ];
  assert.deepEqual(await eventTypes(daemon), expected);
  const { boots } = (await daemon.call('GET', '/api/v1/system/info')).body;
  assert.deepEqual(boots, { booting: 0, waiting: 0, relaunched: 3 });
  // What it ran on is free again, and a sound config starts.
  assert.deepEqual(daemon.taps(), []);
  await daemon.call('PATCH', '/api/v1/vms/broken/config', { kernel_cmdline: '' });
  assert.equal((await daemon.call('POST', '/api/v1/vms/broken/start')).status, 200);
  await askGuest((await daemon.getVm('broken')).ip_address, '/v1/');
});

/** The share of the processors that the kernel gives a process, by whichever of its ways the daemon has used. */
function shareOf(pid: number): number {
  const [, path = ''] = /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8')) ?? [];
  const mount = /^\S+ (\S+) cgroup2 /m.exec(readFileSync('/proc/mounts', 'utf8'))?.[1];
  const weight = `${mount}${path}/cpu.weight`;
  if (mount !== undefined && existsSync(weight)) return Number(readFileSync(weight, 'utf8'));
  const autogroup = `/proc/${pid}/autogroup`;
  const nice = existsSync(autogroup)
    ? Number(readFileSync(autogroup, 'utf8').split(' ').at(-1))
    : getPriority(pid);
  return -nice;
}

test('a guest has a greater share of the processors while it boots', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t);
  const first = await daemon.createVm('first');
  await askGuest(first.ip_address, '/v1/');
  // A guest whose timers do not fire never gets through its boot.
  const stuck = await daemon.createVm('stuck', { kernel_cmdline: 'nolapic_timer' });
  const booting = shareOf(stuck.pid ?? 0);
  assert.equal((await daemon.call('DELETE', '/api/v1/vms/stuck')).status, 204);
  const second = await daemon.createVm('second');
  await askGuest(second.ip_address, '/v1/');
  const { boots } = (await daemon.call('GET', '/api/v1/system/info')).body;
  assert.equal(boots.booting, 0);
  // Its end is a job of a worker.
  const deadline = Date.now() + 60_000;
  while (shareOf(second.pid ?? 0) === booting && Date.now() < deadline) await pause(20);
  const [runs, other] = [shareOf(second.pid ?? 0), shareOf(first.pid ?? 0)];
  assert.equal(runs, other);
  assert.ok(booting > runs, `${booting} while it boots, ${runs} afterwards`);
});

testFleet({ count: 60, machine: 'auto', cpu_cores: 1, loops: 0 });
