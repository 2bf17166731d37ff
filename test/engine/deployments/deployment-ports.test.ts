// Ports of deployments on a pretend host: they cannot overlap, they are the deployment's as long as it exists,
// and a roll-out may move them.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { LIMITS } from '../../../src/config/limits.ts';
import type { VolantError } from '../../../src/lib/errors.ts';
import { engineOn, newWorld } from '../fakes.ts';
import { forwardsOf } from '../forwards.ts';

const config = (...expose: object[]) => ({ plugin: 'hello', config: { expose } }).config;
const deployment = (replicas: number, ...expose: object[]) => ({
  name: 'web',
  replicas,
  config: { plugin: 'hello', ...config(...expose) },
});
const port = (host_port: number, more: object = {}) => ({ port: 80, host_port, ...more });
const balanced = { balanced: true };

suite('ports of a deployment', () => {
  const overlapping = [
    [port(8080), port(8081)],
    [port(8080), port(8081, balanced)],
    [port(8081, balanced), port(8080)],
  ];

  test('do not overlap, over all replicas; both entries are named', async () => {
    const { engine, shutdown } = await engineOn(newWorld());
    for (const expose of overlapping) {
      await assert.rejects(
        engine.deployments.create(deployment(2, ...expose)),
        ({ code, details }: VolantError) => {
          assert.equal(code, 'BODY_INVALID');
          assert.deepEqual(Object.keys(details ?? {}).sort(), [
            'config.expose[0].host_port',
            'config.expose[1].host_port',
          ]);
          return true;
        },
      );
    }
    await engine.deployments.create(deployment(1, port(8080), port(8081)));
    await assert.rejects(engine.deployments.patch('web', { replicas: 2 }), {
      code: 'BODY_INVALID',
    });
    await engine.deployments.patch('web', deployment(2, port(8080), port(8082)));
    await shutdown();
  });

  test('end at the last port', async () => {
    const { engine, shutdown } = await engineOn(newWorld());
    await engine.deployments.create(deployment(1, port(65_535)));
    await assert.rejects(engine.deployments.patch('web', { replicas: 2 }), {
      code: 'BODY_INVALID',
      details: { 'config.expose[0].host_port': 'replica 2 would get a port above 65535' },
    });
    await shutdown();
  });

  test('are not those of somebody else, when there are more of them either', async () => {
    const { engine, shutdown } = await engineOn(newWorld());
    await engine.vms.create({ name: 'other', plugin: 'hello', config: config(port(8081)) });
    await engine.deployments.create(deployment(1, port(8080)));
    await assert.rejects(engine.deployments.patch('web', { replicas: 2 }), {
      code: 'PORT_TAKEN',
      message: 'Host port tcp 8081 belongs to VM other',
    });
    assert.equal(engine.deployments.get('web').desired_replicas, 1);
    await shutdown();
  });

  test('are its own as long as it exists, with replicas or without', async () => {
    const world = newWorld();
    const first = await engineOn(world);
    await first.engine.deployments.create(deployment(1, port(8080), port(9090, balanced)));
    await first.engine.deployments.patch('web', { replicas: 0 });
    await first.shutdown();
    const { engine, shutdown } = await engineOn(world);
    for (const taken of [8080, 9090]) {
      await assert.rejects(
        engine.vms.create({ name: 'other', plugin: 'hello', config: config(port(taken)) }),
        { code: 'PORT_TAKEN', message: `Host port tcp ${taken} belongs to deployment web` },
      );
    }
    await engine.deployments.remove('web');
    await engine.vms.create({ name: 'other', plugin: 'hello', config: config(port(8080)) });
    await shutdown();
  });

  test('are left by a replica when nobody uses it any more, and at once when nobody does', async () => {
    const world = newWorld();
    const { engine, shutdown } = await engineOn(world);
    await engine.deployments.create(deployment(2, port(8080, balanced)));
    world.host.connections = 1;
    const scaling = engine.deployments.patch('web', { replicas: 1 });
    await pause(3 * LIMITS.balancedDrainCheckMs);
    assert.deepEqual(forwardsOf(world), ['tcp 8080 > 192.168.127.10:80'], 'nothing new comes');
    assert.equal(world.host.processes.size, 2, 'what is under way goes on');
    world.host.connections = 0;
    await scaling;
    assert.equal(world.host.processes.size, 1);
    await shutdown();
  });

  test('may become one that all share, and replicas of their own again', async () => {
    const world = newWorld();
    const { engine, shutdown } = await engineOn(world);
    await engine.deployments.create(deployment(2, port(8080)));
    await engine.deployments.patch('web', deployment(2, port(8080, balanced)));
    assert.deepEqual(forwardsOf(world), ['tcp 8080 > 192.168.127.12:80 192.168.127.13:80']);
    await engine.deployments.patch('web', deployment(2, port(8080)));
    assert.deepEqual(forwardsOf(world), [
      'tcp 8080 > 192.168.127.14:80',
      'tcp 8081 > 192.168.127.15:80',
    ]);
    await shutdown();
  });

  test('may move by one, though for a moment two replicas want one port', async () => {
    const world = newWorld();
    const { engine, shutdown } = await engineOn(world);
    await engine.deployments.create(deployment(3, port(8080)));
    const rolled = await engine.deployments.patch('web', deployment(3, port(8081)));
    assert.equal(rolled.updated_replicas, 3);
    const lines = forwardsOf(world).map((line) => line.slice(0, 8));
    assert.deepEqual(lines, ['tcp 8081', 'tcp 8082', 'tcp 8083']);
    assert.equal(new Set(forwardsOf(world).map((line) => line.slice(10))).size, 3);
    await shutdown();
  });
});
