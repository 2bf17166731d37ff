// What a client relies on when it asks for ports of the host and for addresses: each has one owner, it
// is in place when the VM runs, and nothing of it is left when the VM is gone.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { LIMITS } from '../../../src/config/limits.ts';
import { VolantError } from '../../../src/lib/errors.ts';
import { engineOn, leftovers, NOTHING_LEFT, newWorld } from '../fakes.ts';
import { forwardsOf } from '../forwards.ts';

const vm = (name: string, expose: object[]) => ({ name, plugin: 'hello', config: { expose } });
const web = { port: 80, host_port: 8080 };

suite('a host port', () => {
  test('leads to its guest before the VM is said to run, and to nobody after its end', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    await engine.vms.create(vm('a', [web, { ...web, protocol: 'UDP' }]));
    assert.deepEqual(forwardsOf(world), [
      'tcp 8080 > 192.168.127.10:80',
      'udp 8080 > 192.168.127.10:80',
    ]);
    assert.deepEqual([...world.host.heldPorts], ['tcp 8080', 'udp 8080']);
    await engine.vms.stop('a');
    assert.deepEqual(forwardsOf(world), []);
    assert.equal(world.host.heldPorts.size, 0);
    await engine.vms.start('a');
    assert.equal(forwardsOf(world).length, 2);
    await engine.vms.destroy('a');
    assert.deepEqual(forwardsOf(world), []);
    assert.equal(world.host.heldPorts.size, 0);
  });

  test('has one owner among VMs that ask for it at once; the others leave nothing', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    const results = await Promise.allSettled(
      Array.from({ length: 10 }, (_, index) => engine.vms.create(vm(`vm-${index}`, [web]))),
    );
    const failures = results.flatMap((result) =>
      result.status === 'rejected' ? [(result.reason as VolantError).code] : [],
    );
    assert.deepEqual(failures, Array(9).fill('PORT_TAKEN'));
    assert.equal(world.host.processes.size, 1);
    assert.equal(forwardsOf(world).length, 1);
    assert.equal(world.host.taps.size, 1);
  });

  test('that a program has makes the launch fail, and nothing is left of it', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    world.host.failures.set('hold tcp 8080', new VolantError('PORT_TAKEN', 'nginx has it'));
    await assert.rejects(engine.vms.create(vm('a', [{ port: 1, host_port: 9000 }, web])), {
      code: 'PORT_TAKEN',
      message: 'nginx has it',
    });
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
    assert.equal(world.host.heldPorts.size, 0);
    world.host.failures.clear();
    await engine.vms.create(vm('a', [web]));
  });

  test('changes by patch at once; a refused patch changes nothing', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    await engine.vms.create(vm('a', [web]));
    await engine.vms.create(vm('b', [{ port: 80, host_port: 9090 }]));
    const changed = await engine.configs.patch('a', {
      expose: [
        { port: 81, host_port: 8080 },
        { port: 82, host_port: 8082 },
      ],
    });
    assert.equal(changed.pending_restart, false);
    const right = [
      'tcp 8080 > 192.168.127.10:81',
      'tcp 8082 > 192.168.127.10:82',
      'tcp 9090 > 192.168.127.11:80',
    ];
    assert.deepEqual(forwardsOf(world), right);
    await assert.rejects(
      engine.configs.patch('a', { expose: [{ port: 1, host_port: 9090 }] }),
      (error: VolantError) => error.code === 'PORT_TAKEN' && /VM b/.test(error.message),
    );
    world.host.failures.set('setForwards', new VolantError('HOST_OPERATION_FAILED'));
    await assert.rejects(engine.configs.patch('a', { expose: null }));
    world.host.failures.clear();
    await engine.configs.patch('b', { metadata: { looked: true } });
    assert.deepEqual(forwardsOf(world), right);
    assert.equal(engine.configs.get('a').version, 2);
  });

  test('leads nowhere before it is held, whatever changes meanwhile, nor when it cannot be', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    let refuse: () => void = () => undefined;
    world.host.beforeHold = (name) =>
      name !== 'tcp 8080'
        ? Promise.resolve()
        : new Promise((_, reject) => {
            refuse = () => reject(new VolantError('PORT_TAKEN', 'nginx has it'));
          });
    const creating = engine.vms.create(vm('a', [{ port: 1, host_port: 8081 }, web]));
    await Promise.race([creating, new Promise((resolve) => setTimeout(resolve, 20))]);
    await engine.vms.create(vm('b', [{ port: 80, host_port: 9090 }]));
    const isRight = (line: string) => !line.startsWith('tcp 8080');
    assert.ok(forwardsOf(world).every(isRight), 'nginx keeps its connections');
    refuse();
    await assert.rejects(creating, { message: 'nginx has it' });
    assert.deepEqual(forwardsOf(world), ['tcp 9090 > 192.168.127.11:80']);
    assert.deepEqual([...world.host.heldPorts], ['tcp 9090']);
  });

  test('that the kernel did not give up is nobody else’s, and goes with the next change', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    await engine.vms.create(vm('a', [web]));
    world.host.failures.set('setForwards', new VolantError('HOST_OPERATION_FAILED'));
    await engine.vms.stop('a');
    assert.equal(JSON.parse(engine.vms.get('a') ?? '').status, 'stopped');
    assert.deepEqual([...world.host.heldPorts], ['tcp 8080']);
    world.host.failures.clear();
    await engine.vms.create(vm('b', []));
    assert.deepEqual(forwardsOf(world), []);
    assert.equal(world.host.heldPorts.size, 0);
  });

  test('of a guest that cannot be ended is held until it can', async (t) => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    await engine.vms.create(vm('a', [web]));
    const [process] = world.host.processes.values();
    assert.ok(process);
    process.ignores = ['SIGTERM', 'SIGKILL'];
    world.hypervisor.powerButtonWorks = false;
    t.mock.timers.enable({ apis: ['setTimeout'] });
    let ended = false;
    const stopping = engine.vms.stop('a').finally(() => {
      ended = true;
    });
    stopping.catch(() => undefined);
    while (!ended) {
      await new Promise(setImmediate);
      t.mock.timers.tick(LIMITS.stopGraceMs);
    }
    await assert.rejects(stopping, { code: 'STOP_FAILED' });
    const statusNow = () => JSON.parse(engine.vms.get('a') ?? '').status;
    assert.equal(statusNow(), 'stopping', 'it is tried on');
    process.ignores = [];
    while (statusNow() !== 'stopped') {
      await new Promise(setImmediate);
      t.mock.timers.tick(LIMITS.stepRetryMaxMs);
    }
    assert.deepEqual([forwardsOf(world), [...world.host.heldPorts]], [[], []]);
  });

  test('still leads to its guest after the daemon was started again', async () => {
    const world = newWorld();
    const first = await engineOn(world);
    await first.engine.vms.create(vm('a', [web]));
    world.host.forwards = [];
    world.host.heldPorts.clear();
    await engineOn(world);
    assert.deepEqual(forwardsOf(world), ['tcp 8080 > 192.168.127.10:80']);
    assert.deepEqual([...world.host.heldPorts], ['tcp 8080']);
  });
});

suite('an address that is asked for', () => {
  const at = (name: string, ip_address: string) => ({
    name,
    plugin: 'hello',
    config: { network: { mode: 'bridged', ip_address } },
  });

  test('is the VM’s, or 409 with the name of its owner', async () => {
    const { engine } = await engineOn(newWorld());
    await engine.vms.create(at('a', '192.168.127.77'));
    assert.equal(JSON.parse(engine.vms.get('a') ?? '').ip_address, '192.168.127.77');
    await assert.rejects(engine.vms.create(at('b', '192.168.127.77')), {
      code: 'ADDRESS_TAKEN',
      message: 'Address 192.168.127.77 belongs to VM a',
    });
    await engine.vms.destroy('a');
    await engine.vms.create(at('b', '192.168.127.77'));
  });

  test('is refused where no guest can have it', async () => {
    const { engine } = await engineOn(newWorld());
    for (const address of ['10.0.0.1', '192.168.127.1', '192.168.127.0', '192.168.127.255']) {
      await assert.rejects(engine.vms.create(at('a', address)), { code: 'BODY_INVALID' }, address);
    }
  });

  test('changes by patch while the VM does not run', async () => {
    const { engine } = await engineOn(newWorld());
    await engine.vms.create(at('a', '192.168.127.77'));
    const patch = { network: { mode: 'bridged', ip_address: '192.168.127.78' } };
    await assert.rejects(engine.configs.patch('a', patch), { code: 'VM_STATE_CONFLICT' });
    await engine.vms.stop('a');
    await engine.configs.patch('a', patch);
    assert.equal(JSON.parse(engine.vms.get('a') ?? '').ip_address, '192.168.127.78');
    await engine.vms.create(at('b', '192.168.127.77'));
  });
});
