// e2e: the life cycle of real guests: what a client sees, what the host has, which events follow.

import assert from 'node:assert/strict';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { requireCapability } from '../helpers/capabilities.ts';
import { askGuest, type Daemon, isAlive, signalVm, startDaemon, tellGuest } from './daemon.ts';
import { installProbe } from './probe-image.ts';

/** (capabilities(7)) Without it nobody makes himself less likely to be taken when memory is wanting. */
const CAP_SYS_RESOURCE = 24n;

/** The events from the first one to the last one that is there. */
async function eventsOf(daemon: Daemon): Promise<{ id: number; type: string; name: string }[]> {
  const abort = new AbortController();
  const response = await fetch(`${daemon.url}/api/v1/events/vms?after=0`, { signal: abort.signal });
  const reader = response.body?.getReader();
  let text = '';
  while (!text.includes('VM_DELETED')) {
    const chunk = await reader?.read();
    text += Buffer.from(chunk?.value ?? []).toString();
  }
  abort.abort();
  return [...text.matchAll(/id: (\d+)\nevent: (\w+)\ndata: (.*)\n/g)].map((match) => ({
    id: Number(match[1]),
    type: match[2] ?? '',
    name: JSON.parse(match[3] ?? '{}').name,
  }));
}

test('create, stop, start, restart, destroy: every step is real and has one event', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t);
  const created = await daemon.createVm('web');
  assert.ok(isAlive(created.pid));
  assert.equal(daemon.taps().length, 1);
  assert.match(await askGuest(created.ip_address, '/v1/'), /"name": "web"/);
  const stopped = (await daemon.call('POST', '/api/v1/vms/web/stop')).body;
  assert.equal(stopped.status, 'stopped');
  assert.equal(isAlive(created.pid), false);
  assert.deepEqual(daemon.taps(), []);
  const started = (await daemon.call('POST', '/api/v1/vms/web/start')).body;
  assert.equal(started.ip_address, created.ip_address);
  assert.match(await askGuest(started.ip_address, '/v1/'), /"name": "web"/);
  assert.equal((await daemon.call('POST', '/api/v1/vms/web/start')).status, 409);
  const restarted = (await daemon.call('POST', '/api/v1/vms/web/restart')).body;
  assert.notEqual(restarted.pid, started.pid);
  assert.equal((await daemon.call('DELETE', '/api/v1/vms/web')).status, 204);
  assert.equal((await daemon.call('DELETE', '/api/v1/vms/web')).status, 404);
  assert.deepEqual([daemon.taps(), daemon.runDirectories()], [[], []]);
  assert.equal(isAlive(restarted.pid), false);
  const events = await eventsOf(daemon);
  const [{ id: first } = { id: 0 }] = events;
  assert.deepEqual(
    events.map(({ id }) => id),
    events.map((_, index) => first + index),
    'one number after the other; those before it are of the plugin',
  );
  assert.deepEqual(
    events.map(({ type }) => type),
    [
      ...['VM_CREATED', 'VM_RUNNING', 'VM_STOPPING', 'VM_STOPPED', 'VM_STARTING', 'VM_RUNNING'],
      ...['VM_STOPPING', 'VM_STOPPED', 'VM_STARTING', 'VM_RUNNING', 'VM_DELETING', 'VM_DELETED'],
    ],
  );
});

test('a guest that powers off is stopped, one that panics or is killed has crashed', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t);
  await installProbe(daemon);
  const cases = [
    { name: 'off', path: 'poweroff', status: 'stopped', told: /^undefined$/ },
    {
      name: 'panic',
      path: 'panic',
      status: 'crashed',
      told: /^The guest kernel panicked: Kernel panic - not syncing: sysrq/,
    },
    { name: 'killed', path: null, status: 'crashed', told: /killed by SIGKILL/ },
  ];
  for (const { name, path, status, told } of cases) {
    const vm = await daemon.createVm(name, { plugin: 'probe' });
    await askGuest(vm.ip_address, '/v1/cgi-bin/hostname');
    if (path === null) signalVm(vm, 'SIGKILL');
    else await tellGuest(vm.ip_address, `/v1/cgi-bin/${path}`);
    const ended = await daemon.waitFor(name, 'stopped', 'crashed');
    assert.equal(ended.status, status, name);
    assert.equal(ended.pid, undefined);
    assert.match(String(ended.status_reason), told);
  }
  assert.deepEqual(daemon.taps(), []);
});

test('a guest that reboots comes up again, and the kernel takes its hypervisor before the daemon', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t);
  await installProbe(daemon);
  const before = await daemon.createVm('web', { plugin: 'probe' });
  await askGuest(before.ip_address, '/v1/cgi-bin/hostname');
  const scoreOf = (pid = 0) => Number(readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8'));
  const capabilities = /CapEff:\s*(\S+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  const mayShield = (BigInt(`0x${capabilities}`) >> CAP_SYS_RESOURCE) % 2n === 1n;
  assert.deepEqual([scoreOf(before.pid), scoreOf(daemon.pid())], [800, mayShield ? -900 : 0]);
  await tellGuest(before.ip_address, '/v1/cgi-bin/reboot');
  const deadlineMs = performance.now() + 60_000;
  for (;;) {
    const { pid, status } = await daemon.getVm('web');
    assert.notEqual(status, 'crashed');
    if (status === 'running' && pid !== before.pid) break;
    assert.ok(performance.now() < deadlineMs, `it is ${status}`);
    await pause(50);
  }
  await askGuest(before.ip_address, '/v1/cgi-bin/hostname');
});

test('of two creates of one name at the same instant one wins, and delete during create leaves nothing', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t);
  const request = { name: 'same', plugin: 'hello' };
  const answers = await Promise.all(
    Array.from({ length: 8 }, () => daemon.call('POST', '/api/v1/vms', request)),
  );
  assert.deepEqual(answers.map(({ status }) => status).sort(), [201, ...Array(7).fill(409)]);
  assert.equal(daemon.taps().length, 1);
  const creating = daemon.call('POST', '/api/v1/vms', { name: 'brief', plugin: 'hello' });
  while ((await daemon.call('GET', '/api/v1/vms/brief')).status === 404);
  assert.equal((await daemon.call('DELETE', '/api/v1/vms/brief')).status, 204);
  await creating;
  assert.equal(daemon.taps().length, 1);
  assert.equal(daemon.runDirectories().length, 1);
});

test('a hypervisor that dies leaves its last lines; a missing one, a missing kernel and a wrong path say what to do', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'kernel')) return;
  const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: '/nonexistent/qemu' });
  const request = { name: 'web', plugin: 'hello' };
  const missing = await daemon.call('POST', '/api/v1/vms', request);
  assert.equal(missing.status, 500);
  assert.equal(missing.body.code, 'HYPERVISOR_MISSING');
  assert.match(missing.body.error, /\/nonexistent\/qemu/);
  const info = await daemon.call('GET', '/api/v1/system/info');
  assert.match(info.body.hypervisor.error, /\/nonexistent\/qemu/);

  const dying = join(daemon.home, 'dying-qemu');
  const script = `#!/bin/sh
    [ "$1" = --version ] && { echo "QEMU emulator version 1.0"; exit; }
    [ "$1" = -L ] && exec qemu-system-x86_64 -L help
    echo "no such machine" >&2
    exit 3
  `;
  writeFileSync(dying, script);
  chmodSync(dying, 0o755);
  const other = await startDaemon(t, { VOLANT_HYPERVISOR: dying, VOLANT_BRIDGE: 'vbr-other' });
  const died = await other.call('POST', '/api/v1/vms', request);
  assert.equal(died.status, 500);
  assert.equal(died.body.code, 'HYPERVISOR_FAILED');
  assert.equal(died.body.details.hypervisor, 'no such machine');
  assert.deepEqual([other.taps(), other.runDirectories()], [[], []]);
  assert.equal((await other.call('GET', '/api/v1/vms')).text, '[]');

  const outside = { ...request, config: { initramfs: { url: '/etc/passwd' } } };
  const refused = await other.call('POST', '/api/v1/vms', outside);
  assert.deepEqual([refused.status, refused.body.code], [400, 'MEDIA_NOT_ALLOWED']);

  const third = await startDaemon(t, {
    VOLANT_KERNEL_VMLINUX: '/nonexistent/vmlinux',
    VOLANT_BRIDGE: 'vbr-third',
  });
  const kernel = await third.call('POST', '/api/v1/vms', request);
  assert.deepEqual([kernel.status, kernel.body.code], [500, 'KERNEL_MISSING']);
  assert.match(kernel.body.error, /npm run setup/);
});

test('a second daemon on one home refuses and names the first', async (t) => {
  const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: 'simulator' });
  const second = startDaemon(t, { VOLANT_HOME: daemon.home, VOLANT_API_LISTEN: '127.0.0.1:1' });
  await assert.rejects(second, new RegExp(`volantd with pid ${daemon.pid()} serves`));
  assert.equal(Number(readFileSync(join(daemon.home, 'volantd.lock'), 'utf8')), daemon.pid());
});
