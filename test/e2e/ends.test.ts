// e2e: how real guests end: their grace period, and which requests wait for them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { requireCapability } from '../helpers/capabilities.ts';
import { askGuest, type Daemon, isAlive, startDaemon } from './daemon.ts';
import { installProbe } from './probe-image.ts';

const NEEDS = ['root', 'netns', 'tun', 'qemu', 'kernel'] as const;
const GUESTS = 20;

/** A workload that does not end when it is asked to. */
async function installRude(daemon: Daemon): Promise<void> {
  const serve = 'httpd -p 127.0.0.1:8000 -h /srv';
  await installProbe(daemon, {
    workload: {
      type: 'http',
      base_url: 'http://127.0.0.1:8000',
      entrypoint: ['/bin/sh', '-c', `trap "" TERM; ${serve}; while :; do sleep 1; done`],
    },
  });
}

const sigterms = (daemon: Daemon) => daemon.log().split('sending SIGTERM').length - 1;

test('a workload that ignores the request has what the grace allows, and the guest still powers off', async (t) => {
  if (!requireCapability(t, ...NEEDS)) return;
  const daemon = await startDaemon(t);
  await installRude(daemon);
  const vm = await daemon.createVm('rude', { plugin: 'probe' });
  await askGuest(vm.ip_address, '/v1/cgi-bin/hostname');
  const askedAt = performance.now();
  const { status, body } = await daemon.call('POST', '/api/v1/vms/rude/stop?grace_seconds=20');
  const tookMs = performance.now() - askedAt;
  assert.deepEqual([status, body.status], [200, 'stopped']);
  // More than the 5 s that a workload gets where nobody says how long.
  assert.ok(tookMs > 12_000, `${tookMs} ms`);
  assert.equal(sigterms(daemon), 0, daemon.log());
});

test('a delete without grace ends a stop that waits, at once', async (t) => {
  if (!requireCapability(t, ...NEEDS)) return;
  const daemon = await startDaemon(t);
  await installRude(daemon);
  const vm = await daemon.createVm('rude', { plugin: 'probe' });
  await askGuest(vm.ip_address, '/v1/cgi-bin/hostname');
  const stopping = daemon.call('POST', '/api/v1/vms/rude/stop?grace_seconds=600');
  await daemon.waitFor('rude', 'stopping');
  await pause(1_000);
  assert.ok(isAlive(vm.pid));
  const askedAt = performance.now();
  assert.equal((await daemon.call('DELETE', '/api/v1/vms/rude?grace_seconds=0')).status, 204);
  assert.ok(performance.now() - askedAt < 60_000);
  assert.equal((await stopping).status, 404);
  assert.equal(isAlive(vm.pid), false);
  assert.deepEqual([daemon.taps(), daemon.runDirectories()], [[], []]);
});

test('a guest that still boots is deleted at once', async (t) => {
  if (!requireCapability(t, ...NEEDS)) return;
  const daemon = await startDaemon(t);
  // A guest whose timers do not fire never gets through its boot.
  await daemon.createVm('young', { kernel_cmdline: 'nolapic_timer' });
  assert.equal((await daemon.call('DELETE', '/api/v1/vms/young')).status, 204);
  assert.equal(sigterms(daemon), 0, 'it was not waited for');
});

test(`${GUESTS} guests that are deleted at once power off, all of them`, async (t) => {
  if (!requireCapability(t, ...NEEDS)) return;
  const daemon = await startDaemon(t);
  const names = Array.from({ length: GUESTS }, (_, index) => `fleet-${index + 1}`);
  const made = names.map((name) => daemon.createVm(name));
  for (const { ip_address } of await Promise.all(made)) await askGuest(ip_address, '/v1/');
  const askedAt = performance.now();
  const answers = await Promise.all(
    names.map((name) => daemon.call('DELETE', `/api/v1/vms/${name}`)),
  );
  t.diagnostic(`${GUESTS} guests gone after ${Math.round(performance.now() - askedAt)} ms`);
  assert.ok(answers.every(({ status }) => status === 204));
  assert.equal(sigterms(daemon), 0, daemon.log());
  assert.deepEqual([daemon.taps(), daemon.runDirectories()], [[], []]);
});
