// Whom a PCI device belongs to, whatever fails on the way: a device is given to one, returns as it was, and
// it is never reported as free while it is not. On a world of fakes.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { LIMITS } from '../../../src/config/limits.ts';
import type { EngineControl } from '../../../src/engine/engine.ts';
import { VolantError } from '../../../src/lib/errors.ts';
import { engineOn, newWorld, type World } from '../fakes.ts';

const [ONE, TWO, OTHER] = ['0000:01:00.0', '0000:01:00.1', '0000:02:00.0'] as const;

/** Two devices of one group, and one that is alone; all have the driver `host`. */
function worldWithDevices(): World {
  const world = newWorld();
  world.host.addDevice({ address: ONE, driver: 'host', iommuGroup: '7' });
  world.host.addDevice({ address: TWO, driver: 'host', iommuGroup: '7' });
  world.host.addDevice({ address: OTHER, driver: 'host', iommuGroup: '8' });
  return world;
}

const driverOf = ({ host }: World, address: string) => host.devices.get(address)?.driver;
const recordOf = ({ store }: World, address: string) => store.devices.get(address);

const createWith = (
  { engine }: EngineControl,
  name: string,
  addresses: readonly string[],
  allowlist?: readonly string[],
) => {
  const devices = {
    pci_passthrough: [...addresses],
    ...(allowlist && { allowlist: [...allowlist] }),
  };
  return engine.vms.create({ name, plugin: 'hello', config: { devices } });
};

/** Matches a refusal with this code, and a part of what it says. */
const refusal = (code: string, text: RegExp) => (error: unknown) => {
  assert.ok(error instanceof VolantError, String(error));
  assert.equal(error.code, code);
  assert.match(error.message, text);
  return true;
};

suite('a device', () => {
  test('that a client bound is the client’s again when a VM that had it ends', async () => {
    const world = worldWithDevices();
    const control = await engineOn(world);
    const { devices, vms } = control.engine;
    await devices.bind([OTHER]);
    await createWith(control, 'web', [OTHER]);
    assert.equal(recordOf(world, OTHER)?.vmId, 1);
    await vms.stop('web');
    assert.equal(driverOf(world, OTHER), 'vfio-pci');
    assert.equal(recordOf(world, OTHER)?.vmId, null);
    assert.deepEqual(await devices.unbind([OTHER]), { done: [OTHER], failure: null });
    assert.equal(driverOf(world, OTHER), 'host');
  });

  test('of which nothing can be stored is not touched', async () => {
    const world = worldWithDevices();
    const { engine } = await engineOn(world);
    world.store.beforeCommit = () => {
      throw new VolantError('STORE_UNAVAILABLE');
    };
    await assert.rejects(engine.devices.bind([OTHER]), refusal('STORE_UNAVAILABLE', /./));
    assert.equal(driverOf(world, OTHER), 'host');
  });

  test('that was bound stays bound when a later request for it and another fails', async () => {
    const world = worldWithDevices();
    const { engine } = await engineOn(world);
    await engine.devices.bind([OTHER]);
    world.host.failures.set(`bind ${ONE}`, new VolantError('DEVICE_FAILED'));
    await assert.rejects(engine.devices.bind([OTHER, TWO, ONE]), refusal('DEVICE_FAILED', /./));
    const drivers = [ONE, TWO, OTHER].map((address) => driverOf(world, address));
    assert.deepEqual(drivers, ['host', 'host', 'vfio-pci']);
    assert.deepEqual([...world.store.devices.keys()], [OTHER]);
  });

  test('whose group the kernel does not hand out goes back', async () => {
    const world = worldWithDevices();
    const control = await engineOn(world);
    world.host.failures.set('probe group 8', new VolantError('VFIO_UNAVAILABLE', 'no remapping'));
    await assert.rejects(
      createWith(control, 'web', [OTHER]),
      refusal('VFIO_UNAVAILABLE', /no remap/),
    );
    assert.equal(driverOf(world, OTHER), 'host');
    assert.equal(world.store.devices.size, 0);
  });

  test('is not given without the allowlist of the VM’s config', async () => {
    const world = worldWithDevices();
    const control = await engineOn(world);
    const forbidden = createWith(control, 'web', [OTHER], ['10de:*']);
    await assert.rejects(forbidden, refusal('DEVICE_FORBIDDEN', /allowlist of the request/));
    assert.equal(driverOf(world, OTHER), 'host');
    await createWith(control, 'web', [OTHER], ['10de:*', '1234:11e8']);
    assert.equal(driverOf(world, OTHER), 'vfio-pci');
  });

  test('is checked together with what is wrong in the allowlist of the check', async () => {
    const { engine } = await engineOn(worldWithDevices());
    const check = { pci_addresses: [], allowlist: ['10de:*', 'nvidia'] };
    assert.deepEqual((await engine.devices.validate(check)).errors, [
      'nvidia of the allowlist must look like 10de:2204, 10de:* or 0000:01:00.0',
    ]);
  });

  test('that the host gave to another driver meanwhile is left to it', async () => {
    const world = worldWithDevices();
    const { engine } = await engineOn(world);
    await engine.devices.bind([OTHER]);
    const device = world.host.devices.get(OTHER);
    assert.ok(device);
    world.host.devices.set(OTHER, { ...device, driver: 'newer' });
    await engine.devices.bind([OTHER]);
    assert.equal(recordOf(world, OTHER)?.formerDriver, 'newer');
  });
});

suite('a group', () => {
  test('belongs to one VM as a whole', async () => {
    const world = worldWithDevices();
    const control = await engineOn(world);
    await control.engine.devices.bind([ONE, TWO]);
    await createWith(control, 'web', [ONE]);
    const told = /shares its IOMMU group with 0000:01:00\.0, which belongs to VM web/;
    await assert.rejects(createWith(control, 'second', [TWO]), refusal('DEVICE_OWNED', told));
    await assert.rejects(control.engine.devices.unbind([TWO]), refusal('DEVICE_OWNED', told));
    const { errors = [] } = await control.engine.devices.validate({ pci_addresses: [TWO] });
    assert.match(errors.join('\n'), told);
  });
});

suite('a device that cannot be given back', () => {
  test('is nobody’s, is tried again, and can be had by the next one', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const world = worldWithDevices();
    const control = await engineOn(world);
    await createWith(control, 'web', [OTHER]);
    world.host.failures.set(`release ${OTHER}`, new VolantError('DEVICE_BUSY'));
    await control.engine.vms.destroy('web');
    assert.equal(recordOf(world, OTHER)?.state, 'releasing');
    await createWith(control, 'second', [OTHER]);
    await control.engine.vms.destroy('second');
    world.host.failures.clear();
    t.mock.timers.tick(15_000);
    while (world.store.devices.size > 0) await new Promise(setImmediate);
    assert.equal(driverOf(world, OTHER), 'host');
  });

  test('does not keep the others, and the answer says which it was', async () => {
    const world = worldWithDevices();
    const { engine, shutdown } = await engineOn(world);
    await engine.devices.bind([ONE, TWO, OTHER]);
    world.host.failures.set(`release ${TWO}`, new VolantError('DEVICE_FAILED', 'it would not'));
    const { done, failure } = await engine.devices.unbind([ONE, TWO, OTHER]);
    assert.deepEqual(done, [ONE, OTHER]);
    assert.deepEqual(failure?.details, { [TWO]: 'it would not' });
    await shutdown();
  });
});

test('more changes than the queue takes are refused, and what was queued is done', async () => {
  const world = worldWithDevices();
  const { engine } = await engineOn(world);
  const asked = Array.from({ length: LIMITS.deviceChangesMax + 3 }, () =>
    engine.devices.bind([OTHER]),
  );
  const answers = await Promise.allSettled(asked);
  const refused = answers.flatMap((answer) =>
    answer.status === 'rejected' ? [(answer.reason as VolantError).code] : [],
  );
  assert.deepEqual(refused, Array(3).fill('OVERLOADED'));
  assert.equal((await engine.devices.unbind([OTHER])).failure, null);
});

suite('after a restart', () => {
  test('what was bound half goes back, what was bound stays', async () => {
    const world = worldWithDevices();
    const { engine } = await engineOn(world);
    await engine.devices.bind([OTHER]);
    await engine.devices.bind([ONE, TWO]);
    for (const address of [ONE, TWO]) {
      const record = recordOf(world, address);
      assert.ok(record);
      world.store.devices.set(address, { ...record, state: 'binding' });
    }
    await engineOn(world);
    const drivers = [ONE, TWO, OTHER].map((address) => driverOf(world, address));
    assert.deepEqual(drivers, ['host', 'host', 'vfio-pci']);
    assert.deepEqual([...world.store.devices.keys()], [OTHER]);
  });

  test('what a VM had that ended meanwhile goes back', async () => {
    const world = worldWithDevices();
    const control = await engineOn(world);
    await createWith(control, 'web', [OTHER]);
    await control.shutdown();
    world.host.processes.clear();
    await engineOn(world);
    assert.equal(driverOf(world, OTHER), 'host');
  });

  test('the end of a home gives back everything', async () => {
    const world = worldWithDevices();
    const control = await engineOn(world);
    await control.engine.devices.bind([OTHER]);
    await control.teardown();
    assert.equal(driverOf(world, OTHER), 'host');
    assert.equal(world.store.devices.size, 0);
  });
});
