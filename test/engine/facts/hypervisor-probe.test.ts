// Whether KVM works is found out again where that may have changed: a host that was busy once is not slow forever.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { LIMITS } from '../../../src/config/limits.ts';
import { pauseAfter } from '../../../src/engine/facts/hypervisor-probe.ts';
import { until } from '../../helpers/until.ts';
import { engineOn, newWorld } from '../fakes.ts';

const HURRIED = { kvmRetryMinMs: 30, kvmRetryMaxMs: 60 };

const HUNG = { result: 'timed-out', reason: 'it hung' } as const;
const WORKS = { result: 'works', reason: 'it booted' } as const;

suite('a trial of KVM that was not in time', () => {
  test('is repeated until it works, and launches have KVM from then on', async (t) => {
    const world = newWorld(HURRIED);
    world.host.probe.trial = HUNG;
    const control = await engineOn(world);
    t.after(() => control.shutdown());
    const { engine } = control;
    await engine.vms.create({ name: 'first', plugin: 'hello' });
    const trial = async () => {
      const { hypervisor } = await engine.system.info();
      assert.ok(!('error' in hypervisor));
      return { accelerator: hypervisor.accelerator, ...hypervisor.kvmTrial };
    };
    assert.equal((await trial()).accelerator, 'tcg');
    await until('it is tried again', async () => (await trial()).tries === 3);
    world.host.probe.trial = WORKS;
    await until('it works', async () => (await trial()).accelerator === 'kvm');
    const { result, reason, tries, triedAt } = await trial();
    assert.deepEqual([result, reason, tries], ['works', 'it booted', 1]);
    assert.match(triedAt ?? '', /^\d{4}-.*Z$/);
    const count = world.host.probe.trials;
    await pause(150);
    assert.equal(world.host.probe.trials, count, 'one that worked stands');
  });

  test('is known to the next daemon, which does not make requests wait for another', async (t) => {
    const world = newWorld(HURRIED);
    world.host.probe.trial = HUNG;
    const before = await engineOn(world);
    await before.engine.system.info();
    await before.shutdown();
    const count = world.host.probe.trials;
    const patient = { ...world, limits: { kvmRetryMinMs: 60_000, kvmRetryMaxMs: 60_000 } };
    const control = await engineOn(patient);
    t.after(() => control.shutdown());
    await control.engine.vms.create({ name: 'web', plugin: 'hello' });
    assert.equal(world.host.probe.trials, count);
  });

  test('is repeated after pauses that grow up to a bound', () => {
    const pauses = [1, 2, 3, 4, 5, 6, 1_000].map((tries) =>
      pauseAfter({ result: 'timed-out', tries }, LIMITS),
    );
    const minute = 60_000;
    const minutes = [1, 4, 16, 64, 256, 360, 360].map((count) => count * minute);
    assert.deepEqual(pauses, minutes);
    assert.equal(pauseAfter({ result: 'failed', tries: 1 }, LIMITS), 24 * 60 * minute);
    assert.equal(pauseAfter({ result: 'works', tries: 1 }, LIMITS), null);
  });
});
