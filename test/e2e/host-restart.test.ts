// e2e: what a restart of the host means for VMs, and how much of a host they may use. The restart is simulated: the boot id
// is another one, and everything that the daemon launched is gone.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { LIMITS } from '../../src/config/limits.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { type Daemon, isAlive, startDaemon } from './daemon.ts';

const SIMULATOR = { VOLANT_HYPERVISOR: 'simulator' };

function bootIdFile(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'volant-boot-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'boot_id');
  writeFileSync(file, `${randomUUID()}\n`);
  return file;
}

/** Everything ends at once, the daemon first, and another boot begins. */
async function restartHost(daemon: Daemon, file: string): Promise<void> {
  const { body: vms } = await daemon.call('GET', '/api/v1/vms');
  const pids: number[] = vms.flatMap(({ pid }: { pid?: number }) => pid ?? []);
  await daemon.kill('SIGKILL');
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  while (pids.some((pid) => isAlive(pid))) await pause(10);
  writeFileSync(file, `${randomUUID()}\n`);
  await daemon.start();
}

test('VMs with autostart and replicas come up with their host, others are stopped', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const file = bootIdFile(t);
  const daemon = await startDaemon(t, SIMULATOR, { bootIdFile: file });
  const { pid } = await daemon.createVm('auto', { autostart: true });
  await daemon.createVm('plain');
  await daemon.createVm('off', { autostart: true });
  await daemon.call('POST', '/api/v1/vms/off/stop');
  const web = { name: 'web', replicas: 2, config: { plugin: 'hello' } };
  assert.equal((await daemon.call('POST', '/api/v1/deployments', web)).status, 201);
  await restartHost(daemon, file);
  const again = await daemon.waitFor('auto', 'running');
  assert.notEqual(again.pid, pid);
  for (const name of ['plain', 'off']) assert.equal((await daemon.getVm(name)).status, 'stopped');
  for (const name of ['web-1', 'web-2']) await daemon.waitFor(name, 'running');
  // The daemon alone: what runs is adopted, and nothing else comes up.
  await daemon.call('POST', '/api/v1/vms/auto/stop');
  await daemon.killAndRestart();
  await pause(100);
  assert.equal((await daemon.getVm('auto')).status, 'stopped');
});

test('VMs that do not fit on the host are refused, and what runs stays', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, { ...SIMULATOR, VOLANT_SIMULATOR_BUDGET: 'on' });
  const budget = async () => (await daemon.call('GET', '/api/v1/system/status')).body.budget;
  const { memory_total_mb: total } = await budget();
  const each = 1000 + LIMITS.hypervisorCostMb;
  await daemon.kill('SIGTERM');
  const reserve = String(total - 2 * each);
  await daemon.start({ VOLANT_MEMORY_OVERCOMMIT: '1', VOLANT_MEMORY_RESERVE_MB: reserve });
  const create = (name: string, path = '/api/v1/vms') =>
    daemon.call('POST', path, { name, plugin: 'hello', memory_mb: 1000 });
  const answers = await Promise.all(['a', 'b', 'c', 'd'].map((name) => create(name)));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [201, 201, 409, 409]);
  const refused = answers.find(({ status }) => status === 409)?.body;
  assert.equal(refused.code, 'MEMORY_EXHAUSTED');
  assert.deepEqual(refused.details, {
    asked_mb: String(each),
    used_mb: String(2 * each),
    limit_mb: String(2 * each),
  });
  assert.equal((await create('e', '/api/v1/vms?dry_run=true')).body.code, 'MEMORY_EXHAUSTED');
  assert.equal((await budget()).memory_used_mb, 2 * each);
  // A host that has become smaller ends nothing.
  await daemon.kill('SIGKILL');
  await daemon.start({ VOLANT_MEMORY_RESERVE_MB: String(total) });
  const { body: vms } = await daemon.call('GET', '/api/v1/vms');
  assert.deepEqual(
    vms.map(({ status }: { status: string }) => status),
    ['running', 'running'],
  );
  assert.equal((await daemon.call('DELETE', `/api/v1/vms/${vms[0].name}`)).status, 204);
  assert.equal((await budget()).memory_used_mb, each);
});
