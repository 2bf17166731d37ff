// How long a guest gets to power off: what is said about it, what counts, and who is in a hurry.

import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { suite, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { LIMITS } from '../../../../src/config/limits.ts';
import {
  answeredGraceMsOf,
  type GuestFacts,
  graceMsOf,
  workloadGraceMsOf,
} from '../../../../src/engine/vms/ends/grace.ts';
import type { VolantError } from '../../../../src/lib/errors.ts';
import {
  engineOn,
  leftovers,
  NOTHING_LEFT,
  newWorld,
  preparedOn,
  type World,
} from '../../fakes.ts';

const HOUR_MS = 3_600_000;
const WELL: GuestFacts = { configuredMs: null, hasBooted: true, isAgentSilent: false };

/** The grace of a wish; by default of a guest that is well and of which nothing is configured. */
function graceOf(
  state: 'running' | 'stopped' | 'deleted',
  graceMs: number | null | undefined,
  guest: Partial<GuestFacts> = {},
): number {
  const wanted = { state, launch: 1, ...(graceMs === undefined ? {} : { graceMs }) };
  return graceMsOf(wanted, { ...WELL, ...guest });
}

/** The signals that the only hypervisor of a world got. */
function onlyProcess({ host }: World) {
  const [process] = host.processes.values();
  assert.ok(process);
  return process;
}

async function worldOfDeafGuest(config = {}) {
  const world = newWorld();
  const control = await engineOn(world);
  await control.engine.vms.create({ name: 'web', plugin: 'hello', config });
  world.hypervisor.powerButtonWorks = false;
  return { world, control, engine: control.engine, process: onlyProcess(world) };
}

/** Until the guest was asked to power off so many times. */
async function asked({ hypervisor }: World, count: number): Promise<void> {
  const signal = AbortSignal.timeout(5_000);
  while (hypervisor.powerOffs.length < count) {
    signal.throwIfAborted();
    await pause(5);
  }
}

suite('the choice of a grace', () => {
  test('a stop or a restart: the request, else config or manifest, else the default', () => {
    assert.equal(graceOf('stopped', 7, { configuredMs: 5 }), 7);
    assert.equal(graceOf('stopped', 0, { configuredMs: 5 }), 0);
    assert.equal(graceOf('stopped', null, { configuredMs: 5 }), 5);
    assert.equal(graceOf('running', undefined, { configuredMs: 0 }), 0);
    assert.equal(graceOf('stopped', null), LIMITS.stopGraceMs);
    // Of a record that an earlier version wrote.
    assert.equal(graceOf('running', undefined), LIMITS.stopGraceMs);
    assert.equal(
      graceOf('stopped', null, { hasBooted: false, isAgentSilent: true }),
      LIMITS.stopGraceMs,
    );
  });

  test('a delete: short, none for who cannot hear, what the request says for who may', () => {
    assert.equal(graceOf('deleted', null), LIMITS.deleteGraceMs);
    assert.equal(graceOf('deleted', undefined, { configuredMs: HOUR_MS }), LIMITS.deleteGraceMs);
    assert.equal(graceOf('deleted', null, { configuredMs: 5 }), 5);
    assert.equal(graceOf('deleted', HOUR_MS), HOUR_MS);
    assert.equal(graceOf('deleted', null, { isAgentSilent: true }), 0);
    assert.equal(graceOf('deleted', HOUR_MS, { isAgentSilent: true }), HOUR_MS);
    assert.equal(graceOf('deleted', null, { hasBooted: false }), 0);
    assert.equal(graceOf('deleted', HOUR_MS, { hasBooted: false }), 0);
  });

  test('a delete waits longer for a guest that has accepted to power off', () => {
    const answered = (wanted: object, guest: Partial<GuestFacts> = {}) =>
      answeredGraceMsOf({ state: 'deleted', launch: 1, ...wanted }, { ...WELL, ...guest });
    assert.equal(answered({}), LIMITS.deleteAnsweredGraceMs);
    assert.equal(answered({ graceMs: 5 }), 5);
    assert.equal(answered({}, { configuredMs: 5 }), 5);
    assert.equal(answered({ state: 'stopped' }), LIMITS.stopGraceMs);
  });

  test('the workload gets less than the guest', () => {
    assert.equal(workloadGraceMsOf(10_000), 7_500);
    assert.equal(workloadGraceMsOf(3_000), 3_000 - LIMITS.graceReserveMs);
    assert.equal(workloadGraceMsOf(600_000), 600_000 - LIMITS.graceReserveMaxMs);
    assert.equal(workloadGraceMsOf(LIMITS.graceReserveMs), LIMITS.graceReserveMs / 2);
    assert.equal(workloadGraceMsOf(0), 0);
  });
});

suite('a guest that does not power off', () => {
  test('with grace 0 it is not asked, SIGTERM comes at once', async () => {
    const { world, engine, process } = await worldOfDeafGuest();
    await engine.vms.stop('web', 0);
    assert.deepEqual(process.signals, ['SIGTERM']);
    assert.deepEqual(world.hypervisor.powerOffs, []);
  });

  test('the config says how long, from the next stop on, and needs no restart for it', async () => {
    const { world, engine, process } = await worldOfDeafGuest({ stop_grace_seconds: 3600 });
    const { pending_restart } = await engine.configs.patch('web', { stop_grace_seconds: 0 });
    assert.equal(pending_restart, false);
    await engine.vms.stop('web');
    assert.deepEqual(process.signals, ['SIGTERM']);
    assert.deepEqual(world.hypervisor.powerOffs, []);
    const { config } = await engine.configs.patch('web', { stop_grace_seconds: null });
    assert.equal('stop_grace_seconds' in config, false);
  });

  test('the manifest says how long where the config does not', async () => {
    const { engine, process } = await worldOfDeafGuest();
    const manifest = { ...engine.plugins.get('hello'), stop_grace_seconds: 0 };
    await engine.configs.patch('web', { manifest });
    await engine.vms.stop('web');
    assert.deepEqual(process.signals, ['SIGTERM']);
  });

  test('a restart has the grace of its request, and the next stop does not', async () => {
    const { world, engine, process } = await worldOfDeafGuest();
    await engine.vms.restart('web', undefined, 0);
    assert.deepEqual(process.signals, ['SIGTERM']);
    const stopping = engine.vms.stop('web');
    await asked(world, 1);
    assert.deepEqual(world.hypervisor.powerOffs, [workloadGraceMsOf(LIMITS.stopGraceMs)]);
    await engine.vms.stop('web', 0);
    await stopping;
  });
});

suite('an end that is waited for', () => {
  test('a delete without grace ends it at once', async () => {
    const { world, engine, process } = await worldOfDeafGuest();
    const stopping = engine.vms.stop('web', HOUR_MS);
    await asked(world, 1);
    await engine.vms.destroy('web', 0);
    await assert.rejects(stopping, { code: 'VM_NOT_FOUND' });
    assert.deepEqual(process.signals, ['SIGTERM']);
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
  });

  test('another stop shortens it, and prolongs nothing', async () => {
    const { world, engine, process } = await worldOfDeafGuest();
    const stops = [engine.vms.stop('web', HOUR_MS)];
    await asked(world, 1);
    stops.push(engine.vms.stop('web', 300));
    await asked(world, 2);
    stops.push(engine.vms.stop('web', HOUR_MS), engine.vms.stop('web'));
    await pause(50);
    assert.deepEqual(process.signals, []);
    await Promise.all(stops);
    assert.deepEqual(process.signals, ['SIGTERM']);
    // The agent is told, too.
    const [first, second = HOUR_MS] = world.hypervisor.powerOffs;
    assert.equal(first, HOUR_MS - LIMITS.graceReserveMaxMs);
    assert.ok(second < 300, `${second} ms`);
  });

  test('the drain of a shared port is no longer than the grace that was asked for', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    const expose = [{ port: 80, host_port: 8000, balanced: true }];
    await engine.deployments.create({
      name: 'web',
      replicas: 1,
      config: { plugin: 'hello', expose },
    });
    world.host.connections = 3;
    const startedMs = performance.now();
    const stopping = engine.vms.stop('web-1', HOUR_MS);
    await pause(50);
    await engine.vms.stop('web-1', 0);
    await stopping;
    assert.ok(performance.now() - startedMs < 2_000);
  });

  test('the end of the daemon does not wait for it, and the next one continues', async () => {
    const { world, control, engine, process } = await worldOfDeafGuest();
    const stopping = engine.vms.stop('web', HOUR_MS);
    await asked(world, 1);
    await Promise.all([
      assert.rejects(stopping, (error) => (error as VolantError).code === 'SHUTTING_DOWN'),
      control.shutdown(),
    ]);
    assert.deepEqual(process.signals, []);
    const next = await preparedOn(world);
    const recovered = next.recover();
    await asked(world, 2);
    await next.engine.vms.stop('web', 0);
    await recovered;
    assert.deepEqual(process.signals, ['SIGTERM']);
    assert.equal(JSON.parse(next.engine.vms.get('web') ?? '{}').status, 'stopped');
  });
});

suite('a delete', () => {
  test('of a guest that still boots ends it at once, without asking', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    const agent = world.hypervisor.agent.bind(world.hypervisor);
    world.hypervisor.agent = () => ({ ...agent(), ready: () => new Promise(() => undefined) });
    await engine.vms.create({ name: 'web', plugin: 'hello' });
    const process = onlyProcess(world);
    await engine.vms.destroy('web');
    assert.deepEqual(process.signals, ['SIGTERM']);
    assert.deepEqual(world.hypervisor.powerOffs, []);
  });

  test('of a guest whose agent is lost ends it at once', async () => {
    const { world, engine, process } = await worldOfDeafGuest();
    world.hypervisor.connected = false;
    await engine.vms.destroy('web');
    assert.deepEqual(process.signals, ['SIGTERM']);
  });

  test('of many: so many power off at a time, and who does not lets the next one begin', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    const places = LIMITS.endsPerCore * availableParallelism();
    const names = Array.from({ length: places + 2 }, (_, index) => `web-${index}`);
    for (const name of names) await engine.vms.create({ name, plugin: 'hello' });
    world.hypervisor.powerButtonWorks = false;
    world.hypervisor.acceptsPowerOff = false;
    const startedMs = performance.now();
    const deleting = names.map((name) => engine.vms.destroy(name));
    await asked(world, places);
    await pause(50);
    assert.equal(world.hypervisor.powerOffs.length, places);
    await asked(world, places + 2);
    const waitedMs = performance.now() - startedMs;
    assert.ok(waitedMs > LIMITS.endPlaceMs * 0.9, `${waitedMs} ms`);
    await Promise.all(deleting);
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
  });
});
