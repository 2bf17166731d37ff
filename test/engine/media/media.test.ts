// What users of images and disks rely on in the engine: a wait for an image blocks nobody and can be
// ended, what a VM was made of is taken again, and what is wrong is reported under its field.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { LIMITS } from '../../../src/config/limits.ts';
import { mediaPlanOf } from '../../../src/engine/media/media-plan.ts';
import { Operations } from '../../../src/engine/vms/operations.ts';
import { VolantError } from '../../../src/lib/errors.ts';
import type { Vm } from '../../../src/schema/vm.ts';
import type { VmConfig } from '../../../src/schema/vm-config.ts';
import { engineOn, leftovers, NOTHING_LEFT, newWorld, type World } from '../fakes.ts';

const URL_ONE = 'https://images.example/one.img';
const URL_TWO = 'https://images.example/two.img';
const DIGEST = 'ab'.repeat(32);

type Api = Awaited<ReturnType<typeof engineOn>>['engine'];

const statusOf = (engine: Api, name: string) =>
  (JSON.parse(engine.vms.get(name) ?? '{}') as Vm).status;

/** A VM with a root disk of the network. */
const withRoot = (name: string, rootfs: object = { url: URL_ONE }) => ({
  name,
  plugin: 'hello',
  config: { rootfs },
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(setImmediate);
}

/** Downloads that come when the test lets them. */
function holdDownloads({ host }: World): () => void {
  let arrive: () => void = () => undefined;
  host.downloads = new Promise((resolve) => {
    arrive = resolve;
  });
  return arrive;
}

suite('a launch that waits for an image', () => {
  test('takes no place from other operations, however many wait', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    const arrive = holdDownloads(world);
    const count = LIMITS.operationsRunningMax + 10;
    const slow = Array.from({ length: count }, (_, index) =>
      engine.vms.create(withRoot(`slow-${index}`)),
    );
    await until(() => world.host.fetched.length === count);
    await engine.vms.create({ name: 'quick', plugin: 'hello' });
    assert.equal(statusOf(engine, 'quick'), 'running');
    arrive();
    await Promise.all(slow);
    assert.equal(world.host.heldMedia, 0);
  });

  test('is given up when its VM is deleted, and nothing is left', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    holdDownloads(world);
    const created = assert.rejects(engine.vms.create(withRoot('one')), {
      code: 'VM_STATE_CONFLICT',
    });
    await until(() => world.host.fetched.length === 1);
    await engine.vms.destroy('one');
    await created;
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
  });

  test('of a VM that ran before is given up by a stop, also one that is only queued', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    await engine.vms.create(withRoot('one'));
    world.host.known.clear();
    holdDownloads(world);
    const restarted = assert.rejects(engine.vms.restart('one'), { code: 'VM_STATE_CONFLICT' });
    await engine.vms.stop('one');
    await restarted;
    assert.equal(statusOf(engine, 'one'), 'stopped');
  });

  test('continues with the next daemon when one ends', async () => {
    const world = newWorld();
    const { engine, shutdown } = await engineOn(world);
    holdDownloads(world);
    const created = assert.rejects(engine.vms.create(withRoot('one')), { code: 'SHUTTING_DOWN' });
    await until(() => world.host.fetched.length === 1);
    await shutdown();
    await created;
    world.host.downloads = Promise.resolve();
    const next = await engineOn(world);
    await until(() => statusOf(next.engine, 'one') === 'running');
  });
});

suite('an operation that waits', () => {
  const limits = { runningMax: 1, waitingMax: 10, perVmMax: 8, intakeMax: 1 };

  test('continues before those that have not begun', async () => {
    const operations = new Operations(limits);
    const order: string[] = [];
    let arrive: () => void = () => undefined;
    const arrived = new Promise<void>((resolve) => {
      arrive = resolve;
    });
    const first = operations.run(1, async ({ wait }) => {
      await wait(() => arrived);
      order.push('first goes on');
    });
    const second = operations.run(2, async () => {
      arrive();
      await new Promise(setImmediate);
      order.push('second');
    });
    const third = operations.run(3, async () => void order.push('third'));
    await Promise.all([first, second, third]);
    assert.deepEqual(order, ['second', 'first goes on', 'third']);
  });
});

suite('what a VM was made of', () => {
  test('is taken again at a start, without a question to its server', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    await engine.vms.create({
      name: 'one',
      plugin: 'hello',
      config: { rootfs: { url: URL_ONE }, initramfs: { url: URL_TWO, checksum: DIGEST } },
    });
    assert.deepEqual(world.host.fetched.toSorted(), [URL_ONE, URL_TWO]);
    await engine.vms.restart('one');
    await engine.vms.stop('one');
    await engine.vms.start('one');
    assert.equal(world.host.fetched.length, 2);
  });

  test('is another image when its location or its checksum is another', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    await engine.vms.create(withRoot('one'));
    await engine.configs.patch('one', { rootfs: { url: URL_ONE, checksum: DIGEST } });
    await engine.vms.restart('one');
    await engine.configs.patch('one', { rootfs: { url: URL_ONE, checksum: `sha256:${DIGEST}` } });
    await engine.vms.restart('one');
    assert.deepEqual(world.host.fetched, [URL_ONE, URL_ONE], 'one way to write it is as good');
    await engine.configs.patch('one', { rootfs: { url: URL_TWO } });
    await engine.vms.restart('one');
    assert.equal(world.host.fetched.at(-1), URL_TWO);
  });
});

suite('images that are wrong', () => {
  test('are reported all at once, each under its field', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    const hello = engine.plugins.get('hello');
    for (const path of ['/bad/kernel', '/bad/root', '/bad/disk']) {
      world.host.failures.set(
        `inspect ${path}`,
        new VolantError('MEDIA_INVALID', `${path} is bad`),
      );
    }
    const disks = ['/good', '/bad/disk'].map((source, index) => ({ name: `d${index}`, source }));
    const config = {
      manifest: { ...hello, disks },
      kernel_override: '/bad/kernel',
      rootfs: { url: '/bad/root' },
      cloud_init: { datasource: 'NoCloud', user_data: { path: '/none' } },
    };
    await assert.rejects(engine.vms.create({ name: 'one', config }), (error) => {
      assert.ok(error instanceof VolantError);
      assert.equal(error.code, 'MEDIA_INVALID');
      assert.deepEqual(Object.keys(error.details ?? {}).sort(), [
        'cloud_init.user_data.path',
        'disks[1].source',
        'kernel_override',
        'rootfs.url',
      ]);
      return true;
    });
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
  });

  test('of the network are reported under their field, too, and passwords in no event', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    const url = `${URL_ONE}?signature=secret`;
    world.host.failures.set(`fetch ${url}`, new VolantError('MEDIA_DOWNLOAD_FAILED', 'gone'));
    await assert.rejects(engine.vms.create(withRoot('one', { url })), {
      details: { 'rootfs.url': 'gone' },
    });
    assert.doesNotMatch(JSON.stringify(world.store.events), /secret/);
  });
});

test('an initramfs that the memory cannot hold is refused, also where the server named its size', async () => {
  const world = newWorld();
  const { engine } = await engineOn(world);
  world.host.imageBytes = 64 * 2 ** 20;
  const create = (name: string, memory_mb: number, url: string) =>
    engine.vms.create({ name, plugin: 'hello', memory_mb, config: { initramfs: { url } } });
  for (const url of ['/images/large.cpio', URL_ONE]) {
    await assert.rejects(create('small', 64, url), (error: VolantError) => {
      assert.equal(error.code, 'MEDIA_INVALID');
      assert.match(
        error.details?.['initramfs.url'] ?? '',
        /has 64 MiB, but the VM has 64 MiB of memory/,
      );
      return true;
    });
  }
  await create('large', 128, URL_ONE);
  assert.deepEqual(JSON.parse(engine.vms.get('large') ?? '{}').status, 'running');
});

test('one image with two checksums in one VM is asked for with each of them', () => {
  const disk = (name: string, checksum: string) => ({ name, source: URL_ONE, checksum });
  const disks = [disk('a', `sha256:${DIGEST.toUpperCase()}`), disk('b', 'cd'.repeat(32))];
  const manifest = { rootfs: { url: '' }, initramfs: { url: '/i' }, disks };
  const resources = { cpu_cores: 1, memory_mb: 64 };
  const plan = mediaPlanOf({ manifest, resources } as unknown as VmConfig);
  const { checksum: first } = plan.disks[0]?.source ?? {};
  assert.equal(first, DIGEST, 'all ways to write a checksum are one');
  assert.equal(new Set(plan.disks.map(({ source }) => source.field)).size, 2);
});
