// Deployments on a pretend host: what clients are promised about the number of replicas, whatever ends,
// fails or restarts.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { LIMITS } from '../../../src/config/limits.ts';
import type { EngineControl } from '../../../src/engine/engine.ts';
import { VolantError } from '../../../src/lib/errors.ts';
import type { Deployment } from '../../../src/schema/deployment.ts';
import { until } from '../../helpers/until.ts';
import { engineOn, leftovers, NOTHING_LEFT, newWorld, type World } from '../fakes.ts';

async function withDeployment(
  replicas: number,
): Promise<{ world: World; control: EngineControl; deployment: Deployment }> {
  const world = newWorld();
  const control = await engineOn(world);
  const deployment = await control.engine.deployments.create({
    name: 'web',
    replicas,
    config: { plugin: 'hello' },
  });
  return { world, control, deployment };
}

function processOf(world: World, control: EngineControl, name: string) {
  const { pid } = JSON.parse(control.engine.vms.get(name) ?? '{}');
  const process = world.host.processes.get(pid);
  assert.ok(process, `${name} runs`);
  return process;
}

function condition(deployment: Deployment, type: string) {
  return deployment.conditions.find((each) => each.type === type);
}

suite('a deployment', () => {
  test('is answered when its replicas are ready, and says so', async () => {
    const { deployment, control } = await withDeployment(3);
    assert.deepEqual(deployment.replicas, ['web-1', 'web-2', 'web-3']);
    assert.equal(deployment.ready_replicas, 3);
    assert.equal(condition(deployment, 'Available')?.status, true);
    assert.equal(condition(deployment, 'Progressing')?.status, false);
    await control.shutdown();
  });

  test('scales up and down, highest index first, and to nothing', async () => {
    const { control } = await withDeployment(2);
    const { deployments } = control.engine;
    assert.equal((await deployments.patch('web', { replicas: 5 })).ready_replicas, 5);
    const fewer = await deployments.patch('web', { replicas: 1 });
    assert.deepEqual(fewer.replicas, ['web-1']);
    assert.equal((await deployments.patch('web', { replicas: 0 })).replicas.length, 0);
    await control.shutdown();
  });

  test('is gone after its deletion, and nothing of it is left', async () => {
    const { world, control } = await withDeployment(4);
    await control.engine.deployments.remove('web');
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
    assert.equal(world.store.deployments.size, 0);
    assert.throws(() => control.engine.deployments.get('web'), { code: 'DEPLOYMENT_NOT_FOUND' });
    await control.shutdown();
  });

  test('that is deleted while it is scaled is gone, with what was on its way', async () => {
    const { world, control } = await withDeployment(2);
    const { deployments } = control.engine;
    let goOn: () => void = () => undefined;
    const launched = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    world.hypervisor.beforeConnect = () => launched;
    const scaling = deployments.patch('web', { replicas: 12 });
    const scaled = assert.rejects(scaling, { code: 'DEPLOYMENT_DELETING' });
    await until('new replicas are on their way', () => world.host.processes.size > 3);
    const removing = deployments.remove('web');
    await pause(20);
    goOn();
    await removing;
    await scaled;
    assert.equal(world.store.deployments.size, 0);
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
    await control.shutdown();
  });

  test('does not wait for images of replicas that are not wanted any more', async () => {
    const world = newWorld();
    const control = await engineOn(world);
    const { deployments } = control.engine;
    world.host.downloads = new Promise(() => undefined);
    const config = { plugin: 'hello', rootfs: { url: 'https://images.example/slow.img' } };
    const created = deployments.create({ name: 'web', replicas: 3, config });
    await until('all wait', () => world.host.fetched.length === 3);
    const fewer = deployments.patch('web', { replicas: 2 });
    await until('one is given up', () => control.engine.vms.get('web-3') === undefined);
    // Those of the old revision would never come.
    world.host.downloads = Promise.resolve();
    const fixed = { ...config, rootfs: { url: 'https://images.example/right.img' } };
    const rolled = await deployments.patch('web', { config: fixed });
    assert.equal(rolled.ready_replicas, 2);
    assert.equal(condition(rolled, 'Available')?.status, true);
    await Promise.all([created, fewer]);
    world.host.downloads = new Promise(() => undefined);
    world.host.known.clear();
    const more = assert.rejects(deployments.patch('web', { replicas: 4 }), {
      code: 'DEPLOYMENT_DELETING',
    });
    await until('two more wait', () => world.host.fetched.length >= 7);
    await deployments.remove('web');
    await more;
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
    await control.shutdown();
  });

  test('says what it cannot be', async () => {
    const { control } = await withDeployment(0);
    const { deployments } = control.engine;
    const config = { plugin: 'hello' };
    await assert.rejects(deployments.create({ name: 'web', config }), {
      code: 'DEPLOYMENT_NAME_TAKEN',
    });
    await assert.rejects(deployments.create({ name: 'x', config: { plugin: 'none' } }), {
      code: 'PLUGIN_NOT_FOUND',
    });
    await assert.rejects(deployments.create({ name: 'x'.repeat(60), config }), {
      code: 'BODY_INVALID',
    });
    await assert.rejects(deployments.patch('web', {}), { code: 'BODY_INVALID' });
    const shared = { plugin: 'hello', devices: { pci_passthrough: ['0000:03:00.0'] } };
    const isRefused = (error: unknown) => {
      assert.ok(error instanceof VolantError);
      const why = error.details?.['config.devices.pci_passthrough'] ?? '';
      assert.match(why, /a device is for one VM, and there would be 2/);
      return true;
    };
    await assert.rejects(deployments.create({ name: 'x', replicas: 2, config: shared }), isRefused);
    assert.deepEqual(
      deployments.list().map(({ name }) => name),
      ['web'],
    );
    await control.shutdown();
  });
});

suite('what ends is replaced', () => {
  test('a replica that crashed is created again under its name', async () => {
    const { world, control } = await withDeployment(3);
    const before = processOf(world, control, 'web-2');
    before.end({ code: null, signal: 'SIGKILL' });
    await until('web-2 is another one', () => {
      const body = JSON.parse(control.engine.vms.get('web-2') ?? '{}');
      return body.status === 'running' && body.pid !== before.identity.pid;
    });
    await until('all are ready', () => control.engine.deployments.get('web').ready_replicas === 3);
    assert.equal(condition(control.engine.deployments.get('web'), 'Degraded')?.status, true);
    await control.shutdown();
  });

  test('a replica that somebody deleted is created again', async () => {
    const { control } = await withDeployment(2);
    const { id } = JSON.parse(control.engine.vms.get('web-1') ?? '{}');
    await control.engine.vms.destroy('web-1');
    await until('web-1 is back', () => {
      const body = JSON.parse(control.engine.vms.get('web-1') ?? '{}');
      return body.id > id && body.status === 'running';
    });
    await control.shutdown();
  });

  test('creates that fail are reported, paused, and tried again when they can work', async () => {
    const world = newWorld();
    const control = await engineOn(world);
    world.host.failures.set('launch', new VolantError('HYPERVISOR_FAILED', 'no luck'));
    const { deployments } = control.engine;
    const made = await deployments.create({
      name: 'web',
      replicas: 2,
      config: { plugin: 'hello' },
    });
    assert.equal(made.ready_replicas, 0);
    assert.deepEqual(
      [condition(made, 'Degraded')?.reason, condition(made, 'Degraded')?.message],
      ['CreateFailed', 'no luck'],
    );
    world.host.failures.delete('launch');
    await until('both are ready', () => deployments.get('web').ready_replicas === 2);
    await until(
      'what is over is not called a crash',
      () => condition(deployments.get('web'), 'Degraded')?.reason === 'Healthy',
    );
    await control.shutdown();
  });

  test('a name of somebody else is skipped', async () => {
    const world = newWorld();
    const control = await engineOn(world);
    await control.engine.vms.create({ name: 'web-2', plugin: 'hello' });
    const made = await control.engine.deployments.create({
      name: 'web',
      replicas: 3,
      config: { plugin: 'hello' },
    });
    assert.deepEqual(made.replicas, ['web-1', 'web-3', 'web-4']);
    await control.engine.deployments.remove('web');
    assert.ok(control.engine.vms.get('web-2'), 'the stranger is still there');
    await control.shutdown();
  });
});

suite('over restarts', () => {
  test('a new daemon continues with what the old one had promised', async () => {
    const { world, control } = await withDeployment(3);
    await control.shutdown();
    const gone = processOf(world, control, 'web-3');
    gone.end({ code: 1, signal: null });
    const next = await engineOn(world);
    await until('three are ready', () => next.engine.deployments.get('web').ready_replicas === 3);
    await next.shutdown();
  });

  test('a deletion that was interrupted is finished', async () => {
    const { world, control } = await withDeployment(2);
    await control.shutdown();
    const record = world.store.deployments.get('web');
    assert.ok(record);
    world.store.deployments.set('web', { ...record, status: 'deleting' });
    const next = await engineOn(world);
    await until('it is gone', () => next.engine.deployments.list().length === 0);
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
    await next.shutdown();
  });
});

suite('a roll-out', () => {
  test('does not begin where nothing changes: no revision, no event, the same VMs', async () => {
    const { world, control } = await withDeployment(2);
    const { deployments } = control.engine;
    const before = deployments.get('web');
    const told = () => world.store.events.filter(({ body }) => body.name === 'web').length;
    const events = told();
    const { config, max_unavailable } = before;
    for (const patch of [{ config }, { replicas: 2 }, { config, replicas: 2, max_unavailable }]) {
      assert.deepEqual(deployments.planPatch('web', patch).actions, []);
      const after = await deployments.patch('web', patch);
      assert.deepEqual([after.revision, after.updated_at], [before.revision, before.updated_at]);
    }
    assert.equal(told(), events);
    await control.shutdown();
  });

  test('replaces every replica, and all of them have the new config', async () => {
    const { control } = await withDeployment(4);
    const rolled = await control.engine.deployments.patch('web', {
      config: { plugin: 'hello', resources: { cpu_cores: 1, memory_mb: 256 } },
    });
    assert.equal(rolled.updated_replicas, 4);
    for (const name of rolled.replicas) {
      assert.equal(JSON.parse(control.engine.vms.get(name) ?? '').memory_mb, 256);
    }
    await control.shutdown();
  });

  test('keeps the old replicas when the new ones do not become ready', async () => {
    const { world, control } = await withDeployment(3);
    const manifest = control.engine.plugins.get('hello');
    const health_check = { endpoint: '/healthz', timeout_ms: 1000 };
    world.hypervisor.newGuestsAreHealthy = false;
    await assert.rejects(
      control.engine.deployments.patch(
        'web',
        { config: { plugin: 'hello', manifest: { ...manifest, health_check } } },
        { wait: 'ready', timeoutMs: 1_000 },
      ),
      { code: 'WAIT_TIMEOUT' },
    );
    const stuck = control.engine.deployments.get('web');
    assert.equal(stuck.replicas.length, 3);
    assert.equal(stuck.updated_replicas, 1, 'one was taken, the others were kept');
    await control.shutdown();
  });

  test('a dry run shows what would happen and does nothing', async () => {
    const { control } = await withDeployment(2);
    const events = control.engine.events.lastSequence();
    const { actions } = control.engine.deployments.planPatch('web', { replicas: 4 });
    assert.deepEqual(
      actions.map(({ action, subject }) => `${action} ${subject}`),
      ['create.vm web-3', 'create.vm web-4'],
    );
    await control.engine.vms.planCreate({ name: 'other', plugin: 'hello' });
    assert.equal(control.engine.events.lastSequence(), events);
    assert.equal(control.engine.vms.get('other'), undefined);
    await control.shutdown();
  });
});

suite('what is reported of a deployment', () => {
  test('why its replicas are not ready: the workload, its end and its last line', async () => {
    const { world, control } = await withDeployment(1);
    const { deployments } = control.engine;
    world.hypervisor.healthy = false;
    Object.assign(world.hypervisor.workload, {
      state: 'backoff',
      restarts: 4,
      lastExit: 'exit status 3',
      exitCode: 3,
      lastLines: ['no database'],
      reason: 'the entrypoint ended: exit status 3',
    });
    for (const listener of world.hypervisor.changeListeners) listener();
    const degraded = () => condition(deployments.get('web'), 'Degraded');
    await until('it is degraded', () => degraded()?.reason === 'WorkloadsFail');
    const why = /web-1: The workload was restarted 4 times: the entrypoint ended: exit status 3/;
    for (const type of ['Degraded', 'Available', 'Progressing']) {
      assert.match(condition(deployments.get('web'), type)?.message ?? '', why, type);
    }
    const vm = JSON.parse(control.engine.vms.get('web-1') ?? '');
    const { exit_code, last_lines, restarts } = vm.workload;
    assert.deepEqual([exit_code, last_lines, restarts], [3, ['no database'], 4]);
    const running = vm.conditions.find(({ type }: { type: string }) => type === 'WorkloadRunning');
    assert.deepEqual([running.status, running.reason], [false, 'CrashLoop']);
    assert.match(running.message, /last output: no database/);
    const waited = control.engine.vms.restart('web-1', { wait: 'ready', timeoutMs: 1_500 });
    await assert.rejects(waited, (error: VolantError) => {
      assert.match(error.message, /restarted 4 times: the entrypoint ended: exit status 3/);
      assert.equal(error.details?.['workload.last_lines'], 'no database');
      return error.code === 'WAIT_TIMEOUT';
    });
    await control.shutdown();
  });

  test('a dry run of fewer replicas names those that go: what is not ready goes first', async () => {
    const { world, control } = await withDeployment(4);
    const { deployments } = control.engine;
    const gone: string[] = [];
    control.engine.events.subscribe((events) => {
      for (const { body } of events) if (body.type === 'VM_DELETED') gone.push(body.name);
    });
    // Its end is seen, and its place is not filled again: there is nothing to launch with.
    world.host.failures.set('launch', new VolantError('HYPERVISOR_FAILED', 'no'));
    processOf(world, control, 'web-2').end({ code: null, signal: 'SIGKILL' });
    await until('web-2 has ended', () => deployments.get('web').ready_replicas === 3);
    const { actions } = deployments.planPatch('web', { replicas: 2 });
    const named = actions
      .filter(({ action }) => action === 'delete.vm')
      .map(({ subject }) => subject);
    await deployments.patch('web', { replicas: 2 });
    await until('two are gone', () => deployments.get('web').replicas.length === 2);
    assert.deepEqual(named.sort(), [...new Set([...gone, ...named])].sort());
    assert.deepEqual(
      deployments.get('web').replicas.filter((name) => named.includes(name)),
      [],
    );
    await control.shutdown();
  });

  test('a delete whose last failure has been made good is no failure', async () => {
    const { world, control } = await withDeployment(2);
    const { deployments } = control.engine;
    world.host.failures.set('removeTap', new VolantError('HOST_OPERATION_FAILED', 'busy'));
    await assert.rejects(deployments.remove('web'), { code: 'DELETE_INCOMPLETE' });
    world.host.failures.clear();
    await deployments.remove('web');
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
    await control.shutdown();
  });

  test('replicas that only wait for their turn are no failure of a delete', async () => {
    const { world, control } = await withDeployment(3);
    const { vms, deployments } = control.engine;
    // As many requests as one VM takes are in line already: the reconciler's is refused.
    let release: () => void = () => undefined;
    const removed = new Promise<void>((resolve) => {
      release = resolve;
    });
    const removeTap = world.host.removeTap.bind(world.host);
    world.host.removeTap = (tapName) => removed.then(() => removeTap(tapName));
    const line = Array.from({ length: LIMITS.operationsPerVmMax }, () => vms.stop('web-2'));
    const deleted = deployments.remove('web');
    setTimeout(release, 50);
    await Promise.allSettled(line);
    await deleted;
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
    await control.shutdown();
  });
});
