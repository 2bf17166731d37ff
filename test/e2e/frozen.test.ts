// e2e: dozens of hypervisors that do not answer, stopped by SIGSTOP: each is reported as not ready, deployments replace
// them, and those that continue recover by themselves.

import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import type { Vm } from '../../src/schema/vm.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { until } from '../helpers/until.ts';
import { type Daemon, isAlive, signalVm, startDaemon } from './daemon.ts';

const NEEDED = ['root', 'netns', 'tun'] as const;
const SIMULATOR = { VOLANT_HYPERVISOR: 'simulator' };
/** An interval of asking, the bound for an answer, and some time for a busy host. */
const REPORTED_MS = 45_000;
/** Until a deployment puts another one in its place, an end by SIGKILL included. */
const REPLACED_MS = 120_000;

const wrongIn = ({ conditions }: Vm) =>
  conditions.filter(({ status }) => !status).map(({ type }) => type);

/** The first `count` events about conditions, as `TYPE name`. Rejects if they do not come. */
async function toldOf(daemon: Daemon, count: number): Promise<readonly string[]> {
  const url = `${daemon.url}/api/v1/events?after=0&type=VM_DEGRADED,VM_REPAIRED`;
  const response = await fetch(url, { signal: AbortSignal.timeout(REPORTED_MS) });
  let text = '';
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk).toString();
    const whole = text.slice(0, text.lastIndexOf('\n\n') + 1);
    const told = [...whole.matchAll(/^data:(.*)$/gm)].map(([, data = '']) => {
      const { type, name } = JSON.parse(data);
      return `${type} ${name}`;
    });
    if (told.length >= count) return told;
  }
  throw new Error(`the stream has ended: ${text}`);
}

suite('hypervisors that are frozen', { timeout: 300_000 }, () => {
  test('are reported by the dozen, and ready again when they continue', async (t) => {
    if (!requireCapability(t, ...NEEDED)) return;
    const daemon = await startDaemon(t, SIMULATOR);
    const names = Array.from({ length: 24 }, (_, index) => `vm-${index + 1}`);
    const vms = await Promise.all(names.map((name) => daemon.createVm(name)));
    const frozen = vms.slice(0, 12);
    const all = async () => Promise.all(names.map((name) => daemon.getVm(name)));
    for (const one of frozen) signalVm(one, 'SIGSTOP');
    await until(
      'all that are frozen are reported',
      async () =>
        (await all()).slice(0, 12).every((vm) => wrongIn(vm).includes('HypervisorResponsive')),
      REPORTED_MS,
    );
    assert.deepEqual((await all()).slice(12).flatMap(wrongIn), [], 'the others are well');
    assert.ok((await all()).every(({ status }) => status === 'running'));

    // What is known outlives the daemon, and so does the asking. It is stored with its event.
    await toldOf(daemon, frozen.length);
    await daemon.killAndRestart();
    assert.deepEqual(wrongIn(await daemon.getVm('vm-1')), ['HypervisorResponsive']);
    for (const one of frozen) signalVm(one, 'SIGCONT');
    await until(
      'all are well again',
      async () => (await all()).every((vm) => wrongIn(vm).length === 0),
      REPORTED_MS,
    );
    for (const { name, pid } of frozen) {
      assert.equal((await daemon.getVm(name)).pid, pid, 'none was launched again');
    }
    const told = await toldOf(daemon, 2 * frozen.length);
    const each = frozen.flatMap(({ name }) => [`VM_DEGRADED ${name}`, `VM_REPAIRED ${name}`]);
    assert.deepEqual(told.toSorted(), each.toSorted());
  });

  test('are replaced by their deployment, and one that is deleted is gone', async (t) => {
    if (!requireCapability(t, ...NEEDED)) return;
    const daemon = await startDaemon(t, SIMULATOR);
    const wanted = { name: 'web', replicas: 3, config: { plugin: 'hello' } };
    await daemon.call('POST', '/api/v1/deployments', wanted);
    const before = await daemon.getVm('web-2');
    signalVm(before, 'SIGSTOP');
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
    signalVm(vm, 'SIGSTOP');
    await until(
      'it is reported',
      async () => wrongIn(await daemon.getVm('web')).includes('HypervisorResponsive'),
      REPORTED_MS,
    );
    signalVm(vm, 'SIGCONT');
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
