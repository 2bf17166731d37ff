// e2e: dozens of hypervisors that do not answer, stopped by SIGSTOP: each is reported as not ready, deployments replace
// them, and those that continue recover by themselves.

import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import type { Vm } from '../../src/schema/vm.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { until } from '../helpers/until.ts';
import { type Daemon, isAlive, startDaemon } from './daemon.ts';

const NEEDED = ['root', 'netns', 'tun'] as const;
const SIMULATOR = { VOLANT_HYPERVISOR: 'simulator' };
/** An interval of asking, the bound for an answer, and some time for a busy host. */
const REPORTED_MS = 45_000;
/** Until a deployment puts another one in its place, an end by SIGKILL included. */
const REPLACED_MS = 120_000;

const wrongIn = ({ conditions }: Vm) =>
  conditions.filter(({ status }) => !status).map(({ type }) => type);

/** What was told of one VM, as far as its conditions are concerned. */
async function toldOf(daemon: Daemon, name: string): Promise<readonly string[]> {
  const types = 'VM_DEGRADED,VM_REPAIRED';
  const url = `${daemon.url}/api/v1/events?after=0&type=${types}`;
  const response = await fetch(url, { signal: AbortSignal.timeout(1_000) });
  let text = '';
  try {
    for await (const chunk of response.body ?? []) text += Buffer.from(chunk).toString();
  } catch (error) {
    // A stream of events has no end of its own.
    if ((error as Error).name !== 'TimeoutError') throw error;
  }
  return text
    .split('\n')
    .filter((line) => line.startsWith('data:'))
    .map((line) => JSON.parse(line.slice('data:'.length)))
    .filter((event) => event.name === name)
    .map(({ type }) => type);
}

suite('hypervisors that are frozen', { timeout: 300_000 }, () => {
  test('are reported by the dozen, and ready again when they continue', async (t) => {
    if (!requireCapability(t, ...NEEDED)) return;
    const daemon = await startDaemon(t, SIMULATOR);
    const names = Array.from({ length: 24 }, (_, index) => `vm-${index + 1}`);
    const vms = await Promise.all(names.map((name) => daemon.createVm(name)));
    const frozen = vms.slice(0, 12);
    const all = async () => Promise.all(names.map((name) => daemon.getVm(name)));
    for (const { pid } of frozen) process.kill(pid ?? 0, 'SIGSTOP');
    await until(
      'all that are frozen are reported',
      async () =>
        (await all()).slice(0, 12).every((vm) => wrongIn(vm).includes('HypervisorResponsive')),
      REPORTED_MS,
    );
    assert.deepEqual((await all()).slice(12).flatMap(wrongIn), [], 'the others are well');
    assert.ok((await all()).every(({ status }) => status === 'running'));

    // What is known outlives the daemon, and so does the asking.
    await daemon.killAndRestart();
    assert.deepEqual(wrongIn(await daemon.getVm('vm-1')), ['HypervisorResponsive']);
    for (const { pid } of frozen) process.kill(pid ?? 0, 'SIGCONT');
    await until(
      'all are well again',
      async () => (await all()).every((vm) => wrongIn(vm).length === 0),
      REPORTED_MS,
    );
    for (const { name, pid } of frozen) {
      assert.equal((await daemon.getVm(name)).pid, pid, 'none was launched again');
    }
    assert.deepEqual(await toldOf(daemon, 'vm-12'), ['VM_DEGRADED', 'VM_REPAIRED']);
  });

  test('are replaced by their deployment, and one that is deleted is gone', async (t) => {
    if (!requireCapability(t, ...NEEDED)) return;
    const daemon = await startDaemon(t, SIMULATOR);
    const wanted = { name: 'web', replicas: 3, config: { plugin: 'hello' } };
    await daemon.call('POST', '/api/v1/deployments', wanted);
    const before = await daemon.getVm('web-2');
    process.kill(before.pid ?? 0, 'SIGSTOP');
    const ready = async () =>
      (await daemon.call('GET', '/api/v1/deployments/web')).body.ready_replicas;
    await until('it is not ready', async () => (await ready()) === 2, REPORTED_MS);
    assert.equal((await daemon.getVm('web-2')).id, before.id, 'it is given time to come back');
    await until('another has its place', async () => (await ready()) === 3, REPLACED_MS);
    assert.notEqual((await daemon.getVm('web-2')).id, before.id);
    assert.equal(isAlive(before.pid), false);
  });

  test('and so is one whose control socket was lost', async (t) => {
    if (!requireCapability(t, ...NEEDED)) return;
    const daemon = await startDaemon(t, SIMULATOR);
    const { id, pid } = await daemon.createVm('web');
    rmSync(join(daemon.home, 'run', String(id), 'control.sock'));
    await daemon.killAndRestart();
    await until(
      'the loss is reported',
      async () => wrongIn(await daemon.getVm('web')).includes('ControlConnected'),
      REPORTED_MS,
    );
    assert.equal((await daemon.getVm('web')).pid, pid);
  });

  test('with a real guest inside', async (t) => {
    if (!requireCapability(t, ...NEEDED, 'qemu', 'kernel')) return;
    const daemon = await startDaemon(t);
    const vm = await daemon.createVm('web');
    const isSeen = ({ conditions }: Vm) =>
      conditions.some(({ type, status }) => type === 'AgentResponsive' && status);
    await until(
      'its agent is heard of',
      async () => isSeen(await daemon.getVm('web')),
      REPORTED_MS,
    );
    process.kill(vm.pid ?? 0, 'SIGSTOP');
    await until(
      'it is reported',
      async () => wrongIn(await daemon.getVm('web')).includes('HypervisorResponsive'),
      REPORTED_MS,
    );
    process.kill(vm.pid ?? 0, 'SIGCONT');
    await until(
      'it is well',
      async () => {
        const now = await daemon.getVm('web');
        return isSeen(now) && wrongIn(now).length === 0;
      },
      REPORTED_MS,
    );
    assert.equal((await daemon.getVm('web')).pid, vm.pid);
  });
});
