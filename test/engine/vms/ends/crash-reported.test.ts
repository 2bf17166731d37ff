// What users learn of an end that nobody asked for, and what becomes of the VM: a panic with its line, a reboot as a
// reboot, a lack of memory as such.

import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { LIMITS } from '../../../../src/config/limits.ts';
import type { EngineControl } from '../../../../src/engine/engine.ts';
import type { ProcessExit } from '../../../../src/engine/ports/process-ports.ts';
import { VolantError } from '../../../../src/lib/errors.ts';
import type { Vm } from '../../../../src/schema/vm.ts';
import { until } from '../../../helpers/until.ts';
import { engineOn, newWorld, type World } from '../../fakes.ts';

const ORDERLY: ProcessExit = { code: 0, signal: null };
const KILLED: ProcessExit = { code: null, signal: 'SIGKILL' };

const vmOf = ({ engine }: EngineControl): Vm => JSON.parse(engine.vms.get('web') ?? '{}');

async function withWeb(t: TestContext) {
  const world = newWorld();
  const control = await engineOn(world);
  t.after(() => control.shutdown());
  await control.engine.vms.create({ name: 'web', plugin: 'hello' });
  return { world, control };
}

function end({ host }: World, exit: ProcessExit): void {
  for (const process of host.processes.values()) process.end(exit);
}

const lastOf = ({ store }: World, type: string) =>
  store.events.findLast(({ body }) => body.type === type)?.body.message;

/** Event, condition and body tell the same. */
async function crashOf(world: World, control: EngineControl) {
  await until('it has crashed', () => vmOf(control).status === 'crashed');
  const { conditions, status_reason: told } = vmOf(control);
  const [condition] = conditions;
  assert.deepEqual([condition?.type, condition?.status], ['Running', false]);
  assert.equal(condition?.message, told);
  assert.equal(lastOf(world, 'VM_CRASHED'), told);
  return { reason: condition?.reason, told };
}

suite('a crash', () => {
  test('carries the line of the panic', async (t) => {
    const { world, control } = await withWeb(t);
    world.hypervisor.guestEnd = 'reset';
    world.host.consoleLog = '[ 3.1] Kernel panic - not syncing: VFS: no root\r\n[ 3.2] Call Trace:';
    end(world, ORDERLY);
    assert.deepEqual(await crashOf(world, control), {
      reason: 'KernelPanic',
      told: 'The guest kernel panicked: Kernel panic - not syncing: VFS: no root',
    });
  });

  test('carries what the console showed last, and is over with the next start', async (t) => {
    const { world, control } = await withWeb(t);
    world.host.consoleLog = 'Out of memory: Killed process 7 (db)';
    end(world, { code: 1, signal: null });
    const { told } = await crashOf(world, control);
    assert.match(told ?? '', /ended with status 1: Out of memory: Killed process 7 \(db\)$/);
    await control.engine.vms.start('web');
    const { conditions, status_reason: reason } = vmOf(control);
    assert.deepEqual([conditions[0]?.status, reason], [true, undefined]);
  });

  test('is reported although the console cannot be read', async (t) => {
    const { world, control } = await withWeb(t);
    world.host.failures.set('readConsole', new VolantError('HOST_TIMEOUT'));
    world.hypervisor.guestEnd = 'reset';
    end(world, ORDERLY);
    assert.match((await crashOf(world, control)).told ?? '', /The guest was reset/);
  });

  test('is found out by the next daemon, too', async (t) => {
    const world = newWorld();
    const before = await engineOn(world);
    await before.engine.vms.create({ name: 'web', plugin: 'hello' });
    await before.shutdown();
    world.host.consoleLog = 'Kernel panic - not syncing: Attempted to kill init!';
    world.host.orderlyExitIds.push(1);
    end(world, ORDERLY);
    await pause(10);
    const control = await engineOn(world);
    t.after(() => control.shutdown());
    assert.equal((await crashOf(world, control)).reason, 'KernelPanic');
  });
});

suite('a guest that reboots', () => {
  const REBOOT = 'goodbye\r\n[  9.9] reboot: Restarting system\r\n';

  test('is launched again, with an event of its own', async (t) => {
    const { world, control } = await withWeb(t);
    const { id, pid } = vmOf(control);
    world.hypervisor.guestEnd = 'reset';
    world.host.consoleLog = REBOOT;
    end(world, ORDERLY);
    await until('it runs again', () => (vmOf(control).pid ?? pid) !== pid);
    assert.equal(vmOf(control).id, id);
    assert.equal(vmOf(control).status, 'running');
    assert.match(lastOf(world, 'VM_RELAUNCHED') ?? '', /^The guest rebooted/);
    assert.equal(lastOf(world, 'VM_CRASHED'), undefined);
  });

  test('repeatedly has crashed, and can be started', async (t) => {
    const { world, control } = await withWeb(t);
    world.hypervisor.guestEnd = 'reset';
    world.host.consoleLog = REBOOT;
    for (let count = 0; count <= LIMITS.rebootsMax; count += 1) {
      const { pid } = vmOf(control);
      end(world, ORDERLY);
      await until('it ended', () => vmOf(control).pid !== pid);
      await until('it came up or crashed', () =>
        ['running', 'crashed'].includes(vmOf(control).status),
      );
    }
    assert.equal((await crashOf(world, control)).reason, 'RebootsTooOften');
    await control.engine.vms.start('web');
    assert.equal(vmOf(control).status, 'running');
  });

  test('while it is asked to stop is stopped', async (t) => {
    const { world, control } = await withWeb(t);
    world.hypervisor.guestEnd = 'reset';
    world.host.consoleLog = REBOOT;
    await control.engine.vms.stop('web');
    assert.equal(vmOf(control).status, 'stopped');
  });
});

suite('a hypervisor that the kernel ended for lack of memory', () => {
  for (const [what, oom, pattern] of [
    [
      'of its own',
      { ofCgroup: 1, hitLimit: true, isNewOnHost: true },
      /its memory limit of \d+ MiB/,
    ],
    ['of the host', { ofCgroup: 1, hitLimit: false, isNewOnHost: true }, /: the host ran out of/],
    [
      'as far as is known',
      { ofCgroup: null, hitLimit: false, isNewOnHost: true },
      /the host probably ran out/,
    ],
  ] as const) {
    test(`${what} is reported as such`, async (t) => {
      const { world, control } = await withWeb(t);
      world.host.oom = oom;
      end(world, KILLED);
      const { reason, told } = await crashOf(world, control);
      assert.equal(reason, 'OutOfMemory');
      assert.match(told ?? '', pattern);
    });
  }

  test('is not one that somebody else has killed', async (t) => {
    const { world, control } = await withWeb(t);
    end(world, KILLED);
    assert.deepEqual(await crashOf(world, control), {
      reason: 'Crashed',
      told: 'The hypervisor was killed by SIGKILL',
    });
  });
});
