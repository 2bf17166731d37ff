// What users rely on in metadata services: only guests that shall have one are told anything, and of themselves alone; results
// are kept as they were posted, replaced, and gone with their VM, whatever a guest says.

import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { EngineControl } from '../../../src/engine/engine.ts';
import { ResultPace, textOfResult } from '../../../src/engine/metadata/result-rules.ts';
import { VolantError } from '../../../src/lib/errors.ts';
import { GUEST_LIMITS } from '../../../src/schema/rules/guest-limits.ts';
import type { VmConfigInput } from '../../../src/schema/vm-config.ts';
import { engineOn, leftovers, NOTHING_LEFT, newWorld, type World } from '../fakes.ts';

const { resultBytesMax, resultsBurstMax, resultEveryMs, metadataPort } = GUEST_LIMITS;

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 5_000;
  while (!holds()) {
    if (performance.now() > deadlineMs) throw new Error(`waited in vain: ${what}`);
    await pause(5);
  }
}

async function engineFor(t: TestContext, world: World): Promise<EngineControl> {
  const control = await engineOn(world);
  t.after(() => control.shutdown());
  return control;
}

async function withGuest(t: TestContext, config: VmConfigInput = { metadata_service: true }) {
  const world = newWorld();
  const control = await engineFor(t, world);
  await control.engine.vms.create({ name: 'one', plugin: 'hello', config });
  return { world, control };
}

const toldTo = ({ hypervisor }: World) => JSON.parse(hypervisor.metadata.at(-1) ?? 'null');

let lastNumber = 0;

/** As the agent does: it tells that a result waits, and hears what became of it. */
async function post(world: World, text: string | Buffer, isJson = false): Promise<string> {
  const { hypervisor } = world;
  lastNumber += 1;
  hypervisor.posted.push({ number: lastNumber, isJson, bytes: Buffer.from(text) });
  for (const tell of hypervisor.resultListeners) tell();
  const isThis = ([number]: readonly [number, string]) => number === lastNumber;
  await until('it is settled', () => hypervisor.settled.some(isThis));
  return hypervisor.settled.find(isThis)?.[1] ?? '';
}

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof VolantError) return error.code;
    throw error;
  }
  return 'done';
}

async function refusalOf(work: Promise<unknown>) {
  try {
    await work;
  } catch (error) {
    if (error instanceof VolantError) return error.details;
    throw error;
  }
  return undefined;
}

suite('what a guest is told', () => {
  test('is nothing, unless it shall have the service', async (t) => {
    const { world, control } = await withGuest(t, {});
    assert.deepEqual(world.hypervisor.metadata, []);
    assert.deepEqual(world.hypervisor.manifests, [], 'the manifest is on the command line');
    // What it posts nevertheless is not asked for.
    assert.equal(world.hypervisor.resultListeners.size, 0);
    assert.equal(
      codeOf(() => control.engine.vms.result('one')),
      'RESULT_NOT_FOUND',
    );
    assert.equal(
      codeOf(() => control.engine.vms.result('nosuch')),
      'VM_NOT_FOUND',
    );
  });

  test('is what its own VM is, before its workload is started', async (t) => {
    const { world } = await withGuest(t, {
      metadata_service: true,
      metadata: { team: 'blue' },
      expose: [{ port: 80, host_port: 8088 }],
    });
    await until('the manifest was sent', () => world.hypervisor.manifests.length === 1);
    const { labels, ...rest } = toldTo(world);
    assert.equal(labels['volant.plugin'], 'hello');
    assert.deepEqual(rest, {
      name: 'one',
      id: 1,
      plugin: 'hello',
      metadata: { team: 'blue' },
      ip_address: world.store.vms.get(1)?.leases.ipAddress,
      ports: [{ port: 80, host_port: 8088, protocol: 'tcp' }],
    });
    assert.equal(JSON.parse(world.hypervisor.manifests[0] ?? '{}').metadata_service, true);
  });

  test('has its place in a deployment, and no address without a network', async (t) => {
    const world = newWorld();
    const { engine } = await engineFor(t, world);
    const config = { plugin: 'hello', network: { mode: 'vsock' }, metadata_service: true };
    await engine.deployments.create({ name: 'web', replicas: 1, config });
    await until('it is told', () => world.hypervisor.metadata.length > 0);
    const { name, deployment, replica, ip_address } = toldTo(world);
    assert.deepEqual([name, deployment, replica, ip_address], ['web-1', 'web', 1, undefined]);
  });

  test('has its deadline, and follows changes of that', async (t) => {
    const { world, control } = await withGuest(t);
    const { vms } = control.engine;
    assert.equal(toldTo(world).deadline, undefined);
    const { deadline } = JSON.parse(await vms.setDeadline('one', 3600));
    assert.ok(typeof deadline === 'string');
    await until('it is told', () => toldTo(world).deadline === deadline);
    await vms.setDeadline('one', null);
    await until('it is told that it stays', () => toldTo(world).deadline === undefined);
  });

  test('follows changes of its config, without a restart', async (t) => {
    const { world, control } = await withGuest(t);
    const { configs } = control.engine;
    await configs.patch('one', { metadata: { phase: 2 } });
    await until('metadata are told', () => toldTo(world).metadata.phase === 2);
    await configs.patch('one', { expose: [{ port: 53, host_port: 5353, protocol: 'udp' }] });
    await until('ports are told', () => toldTo(world).ports[0]?.protocol === 'udp');
    const { manifest } = configs.get('one').config;
    const labels = { ...manifest?.labels, tier: 'web' };
    const { pending_restart } = await configs.patch('one', { manifest: { ...manifest, labels } });
    assert.equal(pending_restart, true);
    await until('labels are told', () => toldTo(world).labels.tier === 'web');
    const count = world.hypervisor.metadata.length;
    await configs.patch('one', { stop_grace_seconds: 5 });
    await pause(20);
    assert.equal(world.hypervisor.metadata.length, count, 'what is the same is not told again');
  });

  test('is the choice of the manifest, unless the config says otherwise', async (t) => {
    const world = newWorld();
    const { engine } = await engineFor(t, world);
    const hello = engine.plugins.get('hello');
    await engine.plugins.install({ ...hello, name: 'told', metadata_service: true });
    await engine.vms.create({ name: 'off', plugin: 'told', config: { metadata_service: false } });
    assert.deepEqual(world.hypervisor.metadata, []);
    await engine.vms.create({ name: 'on', plugin: 'told' });
    await until('it is told', () => toldTo(world)?.name === 'on');
    const { pending_restart } = await engine.configs.patch('off', { metadata_service: null });
    assert.equal(pending_restart, true, 'a change waits for the next start');
    assert.equal(world.hypervisor.metadata.length, 1);
    await engine.vms.restart('off');
    await until('it is told', () => toldTo(world).name === 'off');
  });

  test('does not keep an agent that has no service from its workload', async (t) => {
    const world = newWorld();
    world.hypervisor.takesMetadata = false;
    const { engine } = await engineFor(t, world);
    const config = { metadata_service: true };
    await engine.vms.create({ name: 'old', plugin: 'hello', config });
    await until('the manifest was sent', () => world.hypervisor.manifests.length === 1);
  });

  test('must fit, and its port is its own', async (t) => {
    const world = newWorld();
    const { engine } = await engineFor(t, world);
    const create = (config: VmConfigInput) =>
      refusalOf(engine.vms.create({ name: 'one', plugin: 'hello', config }));
    const metadata = { text: 'x'.repeat(GUEST_LIMITS.metadataBytesMax) };
    const expose = [{ port: metadataPort, host_port: 8088 }];
    const large = await create({ metadata_service: true, metadata, expose });
    assert.deepEqual(Object.keys(large ?? {}).sort(), ['expose', 'metadata']);
    const hello = engine.plugins.get('hello');
    const workload = { ...hello.workload, base_url: `http://localhost:${metadataPort}/x` };
    const taken = await create({ metadata_service: true, manifest: { ...hello, workload } });
    assert.match(taken?.['manifest.workload.base_url'] ?? '', /port 8169/);
    assert.equal(
      await create({ metadata, expose }),
      undefined,
      'without the service both are fine',
    );
  });
});

suite('a result', () => {
  test('is kept as it was posted, with an event, and replaced by the next', async (t) => {
    const { world, control } = await withGuest(t);
    const { vms } = control.engine;
    assert.equal(await post(world, '{"words": 42}', true), 'kept');
    const { posted_at: _, ...first } = vms.result('one');
    assert.deepEqual(first, {
      name: 'one',
      content_type: 'application/json',
      size_bytes: 13,
      body: '{"words": 42}',
    });
    const event = world.store.events.at(-1)?.body;
    assert.deepEqual([event?.type, event?.name, event?.size_bytes], ['VM_RESULT', 'one', 13]);
    assert.equal(await post(world, 'größer'), 'kept');
    const { content_type, size_bytes, body } = vms.result('one');
    assert.deepEqual([content_type, size_bytes, body], ['text/plain', 8, 'größer']);
    assert.equal(world.store.results.size, 1);
  });

  test('outlives the guest and the daemon, and is gone with its VM', async (t) => {
    const { world, control } = await withGuest(t);
    await post(world, 'done');
    await control.engine.vms.stop('one');
    assert.equal(control.engine.vms.result('one').body, 'done');
    await control.shutdown();
    const next = await engineFor(t, world);
    assert.equal(next.engine.vms.result('one').body, 'done');
    await next.engine.vms.start('one');
    assert.equal(next.engine.vms.result('one').body, 'done');
    await next.engine.vms.destroy('one');
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
    assert.equal(world.store.results.size, 0);
    await next.engine.vms.create({ name: 'one', plugin: 'hello' });
    assert.equal(
      codeOf(() => next.engine.vms.result('one')),
      'RESULT_NOT_FOUND',
    );
  });

  test('that an earlier daemon did not take is taken by the next', async (t) => {
    const { world, control } = await withGuest(t);
    await control.shutdown();
    lastNumber += 1;
    world.hypervisor.posted.push({ number: lastNumber, isJson: false, bytes: Buffer.from('late') });
    const next = await engineFor(t, world);
    await until('it is kept', () => world.hypervisor.settled.length === 1);
    assert.equal(next.engine.vms.result('one').body, 'late');
    assert.ok(world.hypervisor.metadata.length >= 2, 'the guest was told again');
  });

  test('that cannot be stored is to be posted again', async (t) => {
    const { world } = await withGuest(t);
    world.store.beforeCommit = () => {
      throw new VolantError('STORE_UNAVAILABLE');
    };
    assert.equal(await post(world, 'x'), 'failed');
    world.store.beforeCommit = () => undefined;
    assert.equal(await post(world, 'x'), 'kept');
  });

  test('is refused when it is not what it says it is', async (t) => {
    const { world, control } = await withGuest(t);
    assert.equal(await post(world, '{"words": ', true), 'refused');
    assert.equal(await post(world, Buffer.from([0xff, 0xfe])), 'refused');
    assert.equal(
      codeOf(() => control.engine.vms.result('one')),
      'RESULT_NOT_FOUND',
    );
  });

  test('of a guest that posts without end waits for its turn', async (t) => {
    const { world } = await withGuest(t);
    for (let count = 0; count < resultsBurstMax; count += 1) await post(world, `${count}`);
    const kept = world.hypervisor.settled.length;
    world.hypervisor.posted.push({ number: 9999, isJson: false, bytes: Buffer.from('more') });
    for (const tell of world.hypervisor.resultListeners) tell();
    await pause(30);
    assert.equal(world.hypervisor.settled.length, kept);
  });

  test('does not make a ready replica unready', async (t) => {
    const world = newWorld();
    const { engine } = await engineFor(t, world);
    const config = { plugin: 'hello', metadata_service: true };
    await engine.deployments.create({ name: 'web', replicas: 1, config });
    const ready = () => engine.deployments.get('web').ready_replicas;
    await until('it is ready', () => ready() === 1);
    world.hypervisor.answering = false;
    assert.equal(await post(world, 'x'), 'kept');
    assert.equal(ready(), 1);
  });
});

test('a text is UTF-8 within the bound, and JSON where it says so', () => {
  const textOf = (bytes: Buffer, isJson = false) => textOfResult({ bytes, isJson });
  assert.equal(textOf(Buffer.alloc(0)), null);
  assert.equal(textOf(Buffer.alloc(resultBytesMax, 'a'))?.length, resultBytesMax);
  assert.equal(textOf(Buffer.alloc(resultBytesMax + 1, 'a')), null);
  assert.equal(textOf(Buffer.from('\ufeffa\0b')), '\ufeffa\0b');
  assert.equal(textOf(Buffer.from('{}{}'), true), null);
  assert.equal(textOf(Buffer.from(' [1] '), true), ' [1] ');
  assert.equal(textOf(Buffer.alloc(resultBytesMax, '['), true), null);
});

test('results have a pace: some at once, then one after each pause', () => {
  const pace = new ResultPace();
  for (let count = 0; count < resultsBurstMax; count += 1) {
    assert.equal(pace.waitMs(1_000), 0);
    pace.count(1_000);
  }
  assert.equal(pace.waitMs(1_000), resultEveryMs);
  assert.equal(pace.waitMs(1_000 + resultEveryMs), 0);
  pace.count(1_000 + resultEveryMs);
  assert.equal(pace.waitMs(1_000 + resultEveryMs), resultEveryMs);
  const rested = 1_000 + 100 * resultEveryMs;
  assert.equal(pace.waitMs(rested), 0);
});
