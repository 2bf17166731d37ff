// What users rely on when the wall clock of the host is set by an hour, ahead or back: nothing waits for it, and nothing is
// hurried by it.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { EngineControl } from '../../src/engine/engine.ts';
import type { Vm } from '../../src/schema/vm.ts';
import { until } from '../helpers/until.ts';
import { engineOn, newWorld } from './fakes.ts';

const HOUR_MS = 3_600_000;

const vmOf = ({ engine }: EngineControl, name: string): Vm =>
  JSON.parse(engine.vms.get(name) ?? '{}');

for (const [name, jumpMs] of [
  ['set back by an hour', -HOUR_MS],
  ['set ahead by an hour', HOUR_MS],
] as const) {
  suite(`a clock that is ${name}`, () => {
    test('does not keep an audit from what it says', async (t) => {
      const world = newWorld();
      const control = await engineOn(world);
      t.after(() => control.shutdown());
      await control.engine.vms.create({ name: 'web', plugin: 'hello' });
      world.clockSetByMs = jumpMs;
      const { in_progress, clean } = await control.engine.system.audit(false);
      assert.deepEqual([in_progress, clean], [[], true]);
    });

    test('lets an address rest for as long as it should', async (t) => {
      const world = newWorld({ addressQuarantineMs: 300 });
      const control = await engineOn(world);
      t.after(() => control.shutdown());
      const { vms } = control.engine;
      await vms.create({ name: 'one', plugin: 'hello' });
      const { ip_address: address } = vmOf(control, 'one');
      await vms.destroy('one');
      world.clockSetByMs = jumpMs;
      await vms.create({ name: 'two', plugin: 'hello' });
      assert.notEqual(vmOf(control, 'two').ip_address, address);
      await pause(300);
      await vms.create({ name: 'three', plugin: 'hello' });
      assert.equal(vmOf(control, 'three').ip_address, address);
    });

    test('lets it rest no longer for the next daemon either', async (t) => {
      const world = newWorld({ addressQuarantineMs: 200 });
      const before = await engineOn(world);
      await before.engine.vms.create({ name: 'one', plugin: 'hello' });
      const { ip_address: address } = vmOf(before, 'one');
      await before.engine.vms.destroy('one');
      await before.shutdown();
      world.clockSetByMs = jumpMs;
      const control = await engineOn(world);
      t.after(() => control.shutdown());
      await pause(200);
      await control.engine.vms.create({ name: 'two', plugin: 'hello' });
      assert.equal(vmOf(control, 'two').ip_address, address);
    });

    test('delays no replica, and counts no crash twice', async (t) => {
      const world = newWorld();
      const control = await engineOn(world);
      t.after(() => control.shutdown());
      const { deployments } = control.engine;
      await deployments.create({ name: 'web', replicas: 1, config: { plugin: 'hello' } });
      const first = vmOf(control, 'web-1');
      world.clockSetByMs = jumpMs;
      world.host.processes.get(first.pid ?? 0)?.end({ code: 1, signal: null });
      await until('another has its place', () => (vmOf(control, 'web-1').id ?? 0) > first.id);
      await until('it is ready', () => deployments.get('web').ready_replicas === 1);
    });
  });
}
