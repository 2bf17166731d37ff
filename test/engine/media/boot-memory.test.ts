// What an operator relies on: a memory in which no guest can boot is refused wherever it is asked for, with the figures,
// before anything is made of it; and one in which it boots is never refused by much.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { bootMemoryOf } from '../../../src/engine/media/boot-memory.ts';
import { VolantError } from '../../../src/lib/errors.ts';
import type { ManifestInput } from '../../../src/schema/manifest.ts';
import { engineOn, newWorld } from '../fakes.ts';

const MIB = 2 ** 20;

/** Of Debian's kernel 6.1.0-57-cloud-amd64 under TCG: initramfs packed and unpacked in bytes, smallest memory in which the
 * first process began. The agent, and boots that need more than others, take 9 MiB more. */
const MEASURED = [
  ['boot.cpio', 1_469_484, 1_469_484, 71],
  ['hello.cpio', 3_080_148, 3_080_148, 73],
  ['hello.cpio and 16 MiB of noise', 19_857_648, 19_857_648, 103],
  ['the same, packed', 18_126_353, 19_857_648, 102],
  ['hello.cpio and 16 MiB of one word, packed', 1_369_267, 19_857_648, 88],
] as const;

const KERNEL_BYTES = 46_294_800;

suite('the smallest memory of a guest', () => {
  for (const [what, packedBytes, unpackedBytes, bootedMb] of MEASURED) {
    test(`is what was measured, and little more: ${what}`, () => {
      const sizes = { kernelBytes: KERNEL_BYTES, initramfs: { packedBytes, unpackedBytes } };
      const { smallestMb } = bootMemoryOf(sizes);
      assert.ok(smallestMb >= bootedMb + 9 && smallestMb <= bootedMb + 14, `${smallestMb} MiB`);
    });
  }

  test('is that of the agent alone where nothing is known', () => {
    assert.equal(bootMemoryOf({ kernelBytes: null, initramfs: null }).smallestMb, 9);
  });
});

suite('too little memory for a guest', () => {
  const refusedFor = (field: string) => (error: unknown) => {
    assert.ok(error instanceof VolantError);
    assert.equal(error.code, 'BODY_INVALID');
    assert.deepEqual(Object.keys(error.details ?? {}), [field]);
    assert.match(
      error.details?.[field] ?? '',
      /at least 205 .*kernel with the agent 165 MiB.*initramfs 41 MiB/,
    );
    return true;
  };

  const withLargeGuests = async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    const initramfs = { packedBytes: 5 * MIB, unpackedBytes: 35.5 * MIB };
    world.host.bootSizes = { kernelBytes: 100.2 * MIB, initramfs };
    return { world, engine };
  };

  test('is refused for a VM, and nothing is made', async () => {
    const { world, engine } = await withLargeGuests();
    const { vms } = engine;
    const create = (memory_mb: number) => vms.create({ name: 'a', plugin: 'hello', memory_mb });
    await assert.rejects(create(204), refusedFor('memory_mb'));
    await assert.rejects(vms.planCreate({ name: 'a', plugin: 'hello' }), refusedFor('memory_mb'));
    assert.equal(vms.get('a'), undefined);
    assert.deepEqual(world.host.launches, []);
    await create(205);
  });

  test('is refused for a change, and the config stays', async () => {
    const { engine } = await withLargeGuests();
    await engine.vms.create({ name: 'a', plugin: 'hello', memory_mb: 205 });
    const change = engine.configs.patch('a', { resources: { memory_mb: 204 } });
    await assert.rejects(change, refusedFor('resources.memory_mb'));
    assert.equal(engine.configs.get('a').version, 1);
  });

  test('is refused for a plugin', async () => {
    const { engine } = await withLargeGuests();
    const manifest = engine.plugins.get('hello') as ManifestInput;
    const input = { ...manifest, name: 'small', resources: { cpu_cores: 1, memory_mb: 204 } };
    await assert.rejects(engine.plugins.install(input), refusedFor('resources.memory_mb'));
    assert.ok(!engine.plugins.list().includes('small'));
  });

  test('is refused for a deployment, new or changed, which can still be scaled', async () => {
    const { engine } = await withLargeGuests();
    const { deployments } = engine;
    const config = (memory_mb: number) => ({ plugin: 'hello', resources: { memory_mb } });
    const create = (memory_mb: number) =>
      deployments.create({ name: 'd', replicas: 0, config: config(memory_mb) });
    await assert.rejects(create(204), refusedFor('config.resources.memory_mb'));
    assert.deepEqual(deployments.list(), []);
    await create(205);
    const change = deployments.patch('d', { config: config(204) });
    await assert.rejects(change, refusedFor('config.resources.memory_mb'));
    assert.equal(deployments.get('d').revision, 1);
  });

  test('is refused at the launch of an image that was downloaded', async () => {
    const { world, engine } = await withLargeGuests();
    const config = { initramfs: { url: 'https://images.example/guest.cpio' } };
    const small = { name: 'a', plugin: 'hello', memory_mb: 150, config };
    await assert.rejects(engine.vms.create(small), refusedFor('memory_mb'));
    assert.equal(engine.vms.get('a'), undefined);
    assert.equal(world.host.launches.length, 0);
  });

  test('a kernel that is missing is no reason to refuse a plugin', async () => {
    const { world, engine } = await withLargeGuests();
    const manifest = engine.plugins.get('hello') as ManifestInput;
    world.host.failures.set('findKernel', new VolantError('KERNEL_MISSING'));
    await engine.plugins.install({ ...manifest, name: 'small' });
  });
});
