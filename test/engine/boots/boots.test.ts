// What a fleet relies on when many guests start: so many boot at a time, the others wait in order, and every
// end of a boot lets the next one begin.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { LIMITS } from '../../../src/config/limits.ts';
import { Boots } from '../../../src/engine/boots/boots.ts';
import { Slots } from '../../../src/engine/boots/slots.ts';
import { VolantError } from '../../../src/lib/errors.ts';
import { FakeProcess } from '../fake-process.ts';
import { engineOn, leftovers, NOTHING_LEFT, newWorld, silentLog, type World } from '../fakes.ts';

const ONE = { VOLANT_BOOTS_MAX: '1' };

/** Agents that speak when the test lets them. */
function silentAgents({ hypervisor }: World): (() => void)[] {
  const speak: (() => void)[] = [];
  const agent = hypervisor.agent.bind(hypervisor);
  hypervisor.agent = () => ({
    ...agent(),
    ready: (signal) =>
      new Promise((resolve, reject) => {
        speak.push(resolve);
        signal.addEventListener('abort', () => reject(signal.reason));
      }),
  });
  return speak;
}

/** As a guest's agent does it: the newest hypervisor ends with the status of the exit port. */
function endWithBrokenClock({ host }: World): void {
  [...host.processes.values()].at(-1)?.end({ code: 173, signal: null });
}

async function until(condition: () => boolean): Promise<void> {
  const signal = AbortSignal.timeout(10_000);
  while (!condition()) {
    signal.throwIfAborted();
    await turn();
  }
}

suite('places', () => {
  test('lets the next ones in in their order, and skips who has given up', async () => {
    const queue = new Slots();
    const order: number[] = [];
    const never = new AbortController().signal;
    const impatient = new AbortController();
    assert.ok(queue.tryEnter(1, 1));
    const entering = [2, 3, 4].map((id) =>
      queue.enter(id, 1, id === 3 ? impatient.signal : never).then(() => order.push(id)),
    );
    const refused = assert.rejects(entering[1] as Promise<number>, /enough/);
    impatient.abort(new Error('enough'));
    await refused;
    assert.equal(queue.waiting, 2);
    queue.leave(1);
    await entering[0];
    assert.deepEqual(order, [2]);
    queue.leave(2);
    await entering[2];
    assert.deepEqual(order, [2, 4]);
    queue.leave(4);
    assert.deepEqual([queue.taken, queue.waiting], [0, 0]);
  });

  test('nobody overtakes those who wait, and adopted guests count', async () => {
    const queue = new Slots();
    queue.hold(1);
    queue.hold(2);
    const entered = queue.enter(3, 1, new AbortController().signal);
    queue.leave(1);
    assert.ok(!queue.tryEnter(4, 1));
    assert.equal(queue.waiting, 1);
    queue.leave(2);
    await entered;
    assert.equal(queue.taken, 1);
  });
});

suite('boots', () => {
  test('the next guest is launched when the agent of the one before was heard of', async () => {
    const world = newWorld();
    const speak = silentAgents(world);
    const { engine } = await engineOn(world, ONE);
    const creates = ['a', 'b', 'c'].map((name) => engine.vms.create({ name, plugin: 'hello' }));
    await creates[0];
    await until(() => engine.vms.get('c')?.includes('status_reason') === true);
    const waiting = JSON.parse(engine.vms.get('b') ?? '{}');
    assert.equal(waiting.status, 'starting');
    assert.match(waiting.status_reason, /at most 1 guests boot at a time/);
    assert.equal(world.host.launches.length, 1);
    speak[0]?.();
    assert.equal('status_reason' in JSON.parse((await creates[1]) ?? '{}'), false);
    assert.equal(world.host.launches.length, 2);
    speak[1]?.();
    await creates[2];
  });

  test('a guest that ends, is stopped or is deleted lets the next one boot', async () => {
    const world = newWorld();
    silentAgents(world);
    const { engine } = await engineOn(world, ONE);
    const ends = [
      async () => [...world.host.processes.values()][0]?.end({ code: 1, signal: null }),
      async (name: string) => void (await engine.vms.stop(name)),
      async (name: string) => engine.vms.destroy(name),
    ];
    await engine.vms.create({ name: 'vm-0', plugin: 'hello' });
    for (const [index, end] of ends.entries()) {
      const next = engine.vms.create({ name: `vm-${index + 1}`, plugin: 'hello' });
      await until(() => engine.vms.get(`vm-${index + 1}`)?.includes('status_reason') === true);
      await end(`vm-${index}`);
      await next;
    }
  });

  test('a delete ends the wait, and a launch that fails gives its place back', async () => {
    const world = newWorld();
    const speak = silentAgents(world);
    const { engine } = await engineOn(world, ONE);
    await engine.vms.create({ name: 'first', plugin: 'hello' });
    const waiting = engine.vms.create({ name: 'second', plugin: 'hello' });
    const refused = assert.rejects(waiting, /was deleted while it waited to start/);
    await until(() => engine.vms.get('second')?.includes('status_reason') === true);
    await engine.vms.destroy('second');
    await refused;
    speak[0]?.();
    await turn();
    world.host.failures.set('launch', new VolantError('HOST_OPERATION_FAILED', 'launch broke'));
    await assert.rejects(engine.vms.create({ name: 'third', plugin: 'hello' }), /launch broke/);
    world.host.failures.clear();
    await engine.vms.create({ name: 'fourth', plugin: 'hello' });
    for (const name of ['first', 'fourth']) await engine.vms.destroy(name);
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
  });

  test('a guest that ends with a broken clock is launched again, so often, with what it had', async () => {
    const world = newWorld();
    silentAgents(world);
    const { engine } = await engineOn(world);
    const created = JSON.parse((await engine.vms.create({ name: 'vm', plugin: 'hello' })) ?? '{}');
    for (let launches = 1; launches < LIMITS.bootAttemptsMax; launches += 1) {
      endWithBrokenClock(world);
      await until(() => world.host.launches.length === launches + 1);
      await until(() => engine.vms.get('vm')?.includes('"status":"running"') === true);
    }
    const again = JSON.parse(engine.vms.get('vm') ?? '{}');
    assert.equal(again.ip_address, created.ip_address);
    const relaunched = LIMITS.bootAttemptsMax - 1;
    const boots = { booting: 1, waiting: 0, relaunched };
    assert.deepEqual((await engine.system.info()).boots, boots);
    endWithBrokenClock(world);
    await until(() => engine.vms.get('vm')?.includes('"status":"crashed"') === true);
    assert.match(engine.events.page(0, 100).events.at(-1)?.body.message ?? '', /clock is broken/);
    await engine.vms.destroy('vm');
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
  });

  test('a guest that has been heard of crashes as others do, whatever status it ends with', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    await engine.vms.create({ name: 'vm', plugin: 'hello' });
    await until(() => world.host.booted.size === 1);
    endWithBrokenClock(world);
    await until(() => engine.vms.get('vm')?.includes('"status":"crashed"') === true);
    assert.equal(world.host.launches.length, 1);
  });

  test('a relaunch that fails, or is given up for a stop, leaves nothing', async () => {
    const world = newWorld();
    silentAgents(world);
    const { engine } = await engineOn(world, ONE);
    await engine.vms.create({ name: 'fails', plugin: 'hello' });
    world.host.failures.set('launch', new VolantError('HOST_OPERATION_FAILED', 'launch broke'));
    endWithBrokenClock(world);
    await until(() => engine.vms.get('fails')?.includes('"status":"crashed"') === true);
    assert.equal(engine.events.page(0, 100).events.at(-1)?.body.message, 'launch broke');
    world.host.failures.clear();
    await engine.vms.create({ name: 'waits', plugin: 'hello' });
    const next = engine.vms.create({ name: 'next', plugin: 'hello' });
    await until(() => engine.vms.get('next')?.includes('status_reason') === true);
    endWithBrokenClock(world);
    await next;
    await until(() => engine.vms.get('waits')?.includes('status_reason') === true);
    await engine.vms.stop('waits');
    assert.match(engine.vms.get('waits') ?? '', /"status":"stopped"/);
    for (const name of ['fails', 'waits', 'next']) await engine.vms.destroy(name);
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
  });

  test('the greater share of the processors ends when the agent was heard of', async () => {
    const world = newWorld();
    const speak = silentAgents(world);
    const { engine } = await engineOn(world);
    await engine.vms.create({ name: 'vm', plugin: 'hello' });
    assert.equal(world.host.launches[0]?.boots, true);
    await turn();
    assert.equal(world.host.booted.size, 0);
    speak[0]?.();
    await until(() => world.host.booted.size === 1);
  });

  test('an image without an agent is waited for in full once, and not as long again', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const over: number[] = [];
    const boots = bootsOf(async () => 0);
    boots.subscribe((vmId) => over.push(vmId));
    const first = silent();
    boots.watch(bootOf(1, 'silent'), first, 1);
    t.mock.timers.tick(LIMITS.bootTimeoutMs - 1);
    assert.deepEqual([over, boots.isOver(first)], [[], false]);
    t.mock.timers.tick(1);
    assert.deepEqual([over, boots.isOver(first)], [[1], true]);
    boots.watch(bootOf(2, 'silent'), silent(), 1);
    t.mock.timers.tick(LIMITS.silentBootMs);
    assert.deepEqual(over, [1, 2]);
    // Guests of another plugin have spoken: one that does not is no guest that has booted.
    boots.watch(bootOf(3, 'speaks'), { ...silent(), agent: { ready: async () => undefined } }, 1);
    await turn();
    const stuck = silent();
    boots.watch(bootOf(4, 'speaks'), stuck, 1);
    t.mock.timers.tick(LIMITS.bootTimeoutMs * 10);
    assert.deepEqual([over, boots.isOver(stuck)], [[1, 2, 3], false]);
    boots.close();
  });

  test('a guest that hangs in its boot is ended, a slow one and one without an agent are not', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const used = new Map<number, number>();
    const boots = bootsOf(async (vmId) => used.get(vmId) ?? Number.NaN);
    boots.watch(bootOf(1, 'speaks'), { ...silent(), agent: { ready: async () => undefined } }, 1);
    await turn();
    const [hangs, slow, unknown, last] = [silent(), silent(), silent(), silent()];
    boots.watch(bootOf(2, 'speaks'), hangs, 1);
    boots.watch(bootOf(3, 'speaks'), slow, 1);
    boots.watch(bootOf(4, 'nobody knows'), unknown, 1);
    boots.watch(bootOf(5, 'speaks'), last, LIMITS.bootAttemptsMax);
    for (const vmId of [2, 4, 5]) used.set(vmId, LIMITS.bootProcessorSecondsMax - 1);
    used.set(3, 3);
    t.mock.timers.tick(LIMITS.bootTimeoutMs);
    await turn();
    const ended = () => [hangs, slow, unknown, last].map(({ process }) => process.signals);
    assert.deepEqual(ended(), [[], [], [], []]);
    for (const vmId of [2, 4, 5]) used.set(vmId, LIMITS.bootProcessorSecondsMax);
    t.mock.timers.tick(LIMITS.bootLookMs);
    await turn();
    assert.deepEqual(ended(), [['SIGKILL'], [], [], []]);
    assert.deepEqual([boots.wasHung(hangs), boots.mayLaunchAgain(hangs)], [true, true]);
    assert.equal(boots.wasHung(slow), false);
    boots.close();
  });

  test('a guest that hung is launched again, with what it had, and this is reported', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const world = newWorld();
    const { engine } = await engineOn(world);
    await engine.vms.create({ name: 'well', plugin: 'hello' });
    await turn();
    silentAgents(world);
    const created = JSON.parse(
      (await engine.vms.create({ name: 'hangs', plugin: 'hello' })) ?? '{}',
    );
    const counted = { userSeconds: LIMITS.bootProcessorSecondsMax, systemSeconds: 0 };
    world.host.stats.counted.set(created.pid, counted);
    t.mock.timers.tick(LIMITS.bootTimeoutMs);
    t.mock.timers.reset();
    await until(() => world.host.launches.length === 3);
    await until(() => engine.vms.get('hangs')?.includes('"status":"running"') === true);
    const again = JSON.parse(engine.vms.get('hangs') ?? '{}');
    assert.equal(again.ip_address, created.ip_address);
    assert.notEqual(again.pid, created.pid);
    const { events } = engine.events.page(0, 100);
    const reported = events.find(({ body }) => body.type === 'VM_RELAUNCHED');
    assert.match(reported?.body.message ?? '', /hung in its boot/);
    assert.equal((await engine.system.info()).boots.relaunched, 1);
  });
});

function bootsOf(processorSeconds: (vmId: number) => Promise<number>): Boots {
  return new Boots({
    bootsMax: 9,
    cores: 1,
    setStatusReason: () => undefined,
    softwareOf: ({ plugin }) => plugin,
    processorSeconds,
    log: silentLog,
  });
}

const bootOf = (id: number, plugin: string) => ({ id, plugin, launchedConfigVersion: 1 });

/** A guest whose agent never answers. */
const silent = () => ({
  process: new FakeProcess(1),
  agent: { ready: () => new Promise<void>(() => undefined) },
});
