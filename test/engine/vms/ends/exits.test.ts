// What users learn of a workload that has ended for good, and what becomes of its VM.

import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { EngineControl } from '../../../../src/engine/engine.ts';
import { hasEndedByItself, statusOf } from '../../../../src/engine/vm-record/status.ts';
import { exitText, verdictIn } from '../../../../src/engine/vms/ends/verdict.ts';
import { nextStep } from '../../../../src/engine/vms/next-step.ts';
import { VolantError } from '../../../../src/lib/errors.ts';
import type { Vm } from '../../../../src/schema/vm.ts';
import { until } from '../../../helpers/until.ts';
import { vmRecord } from '../../../store/vm-record.ts';
import { engineOn, newWorld, type World } from '../../fakes.ts';

const ORDERLY = { code: 0, signal: null } as const;
const VERDICT = 'volant-agent: workload ended for good: ';
const SEVEN = `hello\r\n\r\n${VERDICT}exit status 7\r\n[    3.1] reboot: Power down\r\n`;

const of = (...lines: readonly string[]) => verdictIn(Buffer.from(lines.join('\r\n')));

suite('the last line of an agent', () => {
  test('is the exit code or the signal, also with lines of the kernel behind it', () => {
    assert.deepEqual(verdictIn(Buffer.from(SEVEN)), { code: 7, signal: null });
    assert.deepEqual(of(`${VERDICT}signal 9`), { code: null, signal: 9 });
    assert.deepEqual(of(`${VERDICT}exit status 1`, `${VERDICT}exit status 0`)?.code, 0);
  });

  test('is no exit where it says something else, or what no process ends with', () => {
    assert.equal(of(), null);
    assert.equal(of(`${VERDICT}exit status 0`, 'volant-agent: powering off'), null);
    for (const wrong of ['exit status 256', 'exit status -1', 'exit status 1 2', 'signal 0']) {
      assert.equal(of(`${VERDICT}${wrong}`), null, wrong);
    }
    assert.equal(of('signal 65', `said ${VERDICT}exit status 0`), null);
  });

  test('is a part of a sentence', () => {
    assert.equal(exitText({ code: 7, signal: null }), 'exited with status 7');
    assert.equal(exitText({ code: null, signal: 9 }), 'was killed by signal 9');
  });
});

const vmOf = ({ engine }: EngineControl): Vm => JSON.parse(engine.vms.get('job') ?? '{}');
const endOf = ({ status, exit_code, exit_signal }: Vm) => [status, exit_code, exit_signal];
const typesOf = ({ store }: World) => store.events.map(({ body }) => body.type);

function requestFor({ engine }: EngineControl, restart: 'always' | 'on-failure' | 'never') {
  const manifest = engine.plugins.get('hello');
  assert.ok(manifest);
  const workload = { ...manifest.workload, restart };
  return { name: 'job', plugin: 'hello', config: { manifest: { ...manifest, workload } } };
}

async function withJob(t: TestContext, restart: 'always' | 'never' = 'never') {
  const world = newWorld();
  const control = await engineOn(world);
  t.after(() => control.shutdown());
  await control.engine.vms.create(requestFor(control, restart));
  world.hypervisor.guestEnd = 'power-off';
  world.host.consoleLog = SEVEN;
  return { world, control };
}

function end({ host }: World, exit: { code: number | null; signal: 'SIGKILL' | null }): void {
  for (const process of host.processes.values()) process.end(exit);
}

suite('a workload that has ended for good', () => {
  test('stops its VM with its exit code, and a start clears it', async (t) => {
    const { world, control } = await withJob(t);
    assert.deepEqual(endOf(vmOf(control)), ['running', null, null]);
    end(world, ORDERLY);
    await until('it has stopped', () => vmOf(control).status === 'stopped');
    assert.deepEqual(endOf(vmOf(control)), ['stopped', 7, null]);
    const event = world.store.events.at(-1)?.body;
    assert.deepEqual([event?.type, event?.exit_code], ['VM_EXITED', 7]);
    assert.equal(world.host.processes.size, 0);
    await control.engine.vms.start('job');
    assert.deepEqual(endOf(vmOf(control)), ['running', null, null]);
  });

  test('is not what a manifest says that starts it again', async (t) => {
    const { world, control } = await withJob(t, 'always');
    end(world, ORDERLY);
    await until('it has stopped', () => vmOf(control).status === 'stopped');
    assert.deepEqual(endOf(vmOf(control)), ['stopped', null, null]);
    assert.equal(typesOf(world).at(-1), 'VM_STOPPED');
  });

  test('does not make less of a crash, whatever was printed', async (t) => {
    const { world, control } = await withJob(t);
    end(world, { code: null, signal: 'SIGKILL' });
    await until('it has crashed', () => vmOf(control).status === 'crashed');
    assert.deepEqual(endOf(vmOf(control)), ['crashed', null, null]);
    await control.engine.vms.start('job');
    world.hypervisor.guestEnd = 'reset';
    world.host.consoleLog = `${SEVEN}[ 4.0] Kernel panic - not syncing: x\r\n`;
    end(world, ORDERLY);
    await until('it has crashed again', () => vmOf(control).status === 'crashed');
    assert.deepEqual(endOf(vmOf(control)), ['crashed', null, null]);
  });

  test('is found out by the next daemon, which starts nothing', async (t) => {
    for (const log of [SEVEN, `${SEVEN}[ 4.0] Kernel panic - not syncing: x\r\n`]) {
      const world = newWorld();
      const before = await engineOn(world);
      await before.engine.vms.create(requestFor(before, 'never'));
      await before.shutdown();
      world.host.consoleLog = log;
      world.host.orderlyExitIds.push(1);
      end(world, ORDERLY);
      await pause(10);
      const control = await engineOn(world);
      t.after(() => control.shutdown());
      const isCrash = log !== SEVEN;
      await until('the end is stored', () => vmOf(control).status !== 'running');
      assert.deepEqual(
        endOf(vmOf(control)),
        isCrash ? ['crashed', null, null] : ['stopped', 7, null],
      );
      assert.equal(world.host.launches.length, 1);
    }
  });

  test('is read again where the console cannot be read at first', async (t) => {
    const { world, control } = await withJob(t);
    world.host.failures.set('readConsole', new VolantError('HOST_TIMEOUT'));
    end(world, ORDERLY);
    await pause(50);
    assert.equal(vmOf(control).status, 'running');
    world.host.failures.delete('readConsole');
    await until('it has stopped', () => vmOf(control).status === 'stopped');
    assert.deepEqual(endOf(vmOf(control)), ['stopped', 7, null]);
  });

  test('leaves a restart and a delete that came meanwhile alone', async (t) => {
    const { world, control } = await withJob(t);
    const restarted = control.engine.vms.restart('job');
    end(world, ORDERLY);
    await restarted;
    assert.deepEqual(endOf(vmOf(control)), ['running', null, null]);
    const deleted = control.engine.vms.destroy('job');
    end(world, ORDERLY);
    await deleted;
    assert.equal(control.engine.vms.get('job'), undefined);
  });
});

suite('a wait for the end', () => {
  const WAIT = { wait: 'exited', timeoutMs: 5_000 } as const;

  async function waiting(t: TestContext) {
    const world = newWorld();
    const control = await engineOn(world);
    t.after(() => control.shutdown());
    const answer = control.engine.vms.create(requestFor(control, 'on-failure'), WAIT);
    const settled = answer.then(JSON.parse, (error: unknown) => error);
    await until('it runs', () => vmOf(control).status === 'running');
    return { world, control, settled };
  }

  test('is answered with the exit code', async (t) => {
    const { world, settled } = await waiting(t);
    world.hypervisor.guestEnd = 'power-off';
    world.host.consoleLog = SEVEN;
    end(world, ORDERLY);
    assert.deepEqual(endOf(await settled), ['stopped', 7, null]);
  });

  test('is over when the VM crashes, is stopped or is deleted', async (t) => {
    const crashed = await waiting(t);
    end(crashed.world, { code: null, signal: 'SIGKILL' });
    assert.match(
      (await crashed.settled).message,
      /is crashed before its workload exited: .*SIGKILL/,
    );
    const stopped = await waiting(t);
    await stopped.control.engine.vms.stop('job');
    assert.equal((await stopped.settled).code, 'VM_STATE_CONFLICT');
    const deleted = await waiting(t);
    await deleted.control.engine.vms.destroy('job');
    assert.match((await deleted.settled).message, /before its workload exited/);
  });

  test('is refused where the end never comes, before anything is done', async (t) => {
    const { control, world } = await withJob(t, 'always');
    const launches = world.host.launches.length;
    const refused = { code: 'PARAMETER_INVALID' };
    await assert.rejects(control.engine.vms.restart('job', WAIT), refused);
    const other = { ...requestFor(control, 'always'), name: 'other' };
    await assert.rejects(control.engine.vms.create(other, WAIT), refused);
    assert.equal(control.engine.vms.get('other'), undefined);
    assert.equal(world.host.launches.length, launches);
  });
});

test('a VM whose workload has ended is stopped, at rest, and has ended by itself', () => {
  const exit = { code: 0, signal: null };
  const observed = { launch: 1, attempt: 1, end: 'stopped', isReleased: true, exit } as const;
  const record = vmRecord(1, { wanted: { state: 'stopped', launch: 1 }, observed });
  const status = statusOf(record);
  assert.equal(status, 'stopped');
  assert.equal(hasEndedByItself({ status, observed }), true);
  assert.equal(hasEndedByItself({ status, observed: { ...observed, exit: null } }), false);
  const facts = { process: 'gone', isReleased: true, releaseFailed: false, launchFailed: false };
  assert.equal(nextStep(record, { ...facts, process: 'gone' }), null);
});
