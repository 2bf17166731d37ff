// e2e: the client against a real daemon whose hypervisor is the simulator.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { createClient } from '../../src/client/client.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { startDaemon } from './daemon.ts';

const SIMULATOR = { VOLANT_HYPERVISOR: 'simulator' };

test('a VM from create to destroy, with its config and its events', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, { ...SIMULATOR, VOLANT_API_KEY: 'secret' });
  const client = createClient({ baseUrl: daemon.url, apiKey: 'secret' });
  assert.equal((await client.system.health()).status, 'ok');
  const stranger = createClient({ baseUrl: daemon.url });
  await assert.rejects(stranger.vms.list(), { code: 'UNAUTHORIZED' });

  const plan = await client.vms.planCreate({ name: 'one', plugin: 'hello' });
  assert.equal(plan.dry_run, true);
  assert.equal((await client.vms.list()).total, 0, 'a plan makes nothing');

  const request = { name: 'one', plugin: 'hello' };
  const vm = await client.vms.create(request, { wait: 'running', idempotencyKey: 'a' });
  assert.equal(vm.status, 'running');
  const again = await client.vms.create(request, { wait: 'running', idempotencyKey: 'a' });
  assert.equal(again.id, vm.id, 'the same key is the same create');
  await assert.rejects(client.vms.create(request), { status: 409, code: 'VM_NAME_TAKEN' });

  const { version } = await client.configs.get('one');
  const changed = await client.configs.update(
    'one',
    { resources: { memory_mb: 96 } },
    { ifVersion: version },
  );
  assert.deepEqual([changed.version, changed.pending_restart], [version + 1, true]);
  const late = client.configs.update('one', { runtime: 'x' }, { ifVersion: version });
  await assert.rejects(late, { status: 412, code: 'VERSION_MISMATCH' });
  assert.equal((await client.configs.history('one')).length, 2);

  assert.equal((await client.vms.stop('one')).status, 'stopped');
  assert.equal((await client.vms.start('one')).memory_mb, 96);
  await client.vms.destroy('one');
  await assert.rejects(client.vms.get('one'), { code: 'VM_NOT_FOUND' });

  const types: string[] = [];
  for await (const event of client.events.vms({ after: 0, name: ['one'] })) {
    types.push(event.type);
    if (event.type === 'VM_DELETED') break;
  }
  assert.deepEqual([types[0], types.at(-1)], ['VM_CREATED', 'VM_DELETED']);
  assert.ok(types.includes('VM_STOPPED'));
});

test('a deployment is made, scaled and deleted', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, SIMULATOR);
  const { deployments, vms } = createClient({ baseUrl: daemon.url });
  const config = { plugin: 'hello', resources: { cpu_cores: 1, memory_mb: 64 } };
  const web = await deployments.create({ name: 'web', replicas: 2, config }, { wait: 'running' });
  assert.equal(web.desired_replicas, 2);
  const scaled = await deployments.scale('web', 3, { wait: 'running' });
  assert.equal(scaled.replicas.length, 3);
  assert.equal((await vms.list({ q: 'web-' })).total, 3);
  await deployments.delete('web');
  assert.deepEqual(await deployments.list(), []);
  assert.equal((await vms.list()).total, 0);
});

test('events survive a kill -9 of the daemon: none is missing and none comes twice', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, SIMULATOR);
  const client = createClient({ baseUrl: daemon.url });
  await client.vms.create({ name: 'before', plugin: 'hello' });
  const ids: (number | null)[] = [];
  let restarted: Promise<unknown> | undefined;
  for await (const event of client.events.all({ after: 0 })) {
    ids.push(event.id);
    if (event.name === 'before' && event.type === 'VM_RUNNING' && restarted === undefined) {
      restarted = daemon
        .killAndRestart()
        .then(() => client.vms.create({ name: 'after', plugin: 'hello' }));
    }
    if (event.name === 'after' && event.type === 'VM_RUNNING') break;
  }
  await restarted;
  const first = ids[0] ?? 0;
  assert.deepEqual(
    ids,
    ids.map((_, index) => first + index),
  );
});

test('a daemon on a unix socket serves the client too', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const tcp = await startDaemon(t, SIMULATOR);
  const socket = join(tcp.home, 'api.sock');
  await tcp.terminate();
  const daemon = await startDaemon(t, { ...SIMULATOR, VOLANT_API_LISTEN: `unix:${socket}` });
  assert.ok(daemon.pid() > 0);
  const client = createClient({ baseUrl: `unix:${socket}` });
  await client.vms.create({ name: 'one', plugin: 'hello' });
  for await (const event of client.events.all({ after: 0, type: ['VM_RUNNING'] })) {
    assert.equal(event.name, 'one');
    break;
  }
  await client.vms.destroy('one');
});
