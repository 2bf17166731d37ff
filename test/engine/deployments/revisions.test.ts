// Revisions of deployments on a pretend host: what is kept with each change, for how long, and what a rollback does.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { LIMITS } from '../../../src/config/limits.ts';
import { changedMembers } from '../../../src/engine/deployments/changed-members.ts';
import type { Cause, Engine } from '../../../src/engine/engine-api.ts';
import { VolantError } from '../../../src/lib/errors.ts';
import { engineOn, newWorld, type World } from '../fakes.ts';

const sized = (memory_mb: number) => ({
  plugin: 'hello',
  resources: { cpu_cores: 1, memory_mb },
});

const BY_CLIENT: Cause = { by: 'request', requestId: 'r-1', client: 'ci' };

async function withDeployment(world: World = newWorld()) {
  const control = await engineOn(world);
  const { deployments, vms } = control.engine;
  await deployments.create({ name: 'web', replicas: 2, config: sized(128) }, undefined, BY_CLIENT);
  const memoryOf = (name: string) => JSON.parse(vms.get(name) ?? '{}').memory_mb;
  return { world, control, deployments, memoryOf };
}

/** Revision, its memory and what it restores. */
function told(deployments: Engine['deployments']) {
  return deployments
    .revisions('web')
    .map(({ revision, config, restored_from: from = null }) => [
      revision,
      config.resources?.memory_mb,
      from,
    ]);
}

suite('the history of a deployment', () => {
  test('has each config with its time, its request, its client and what it changed', async () => {
    const { control, deployments } = await withDeployment();
    const cause: Cause = { by: 'request', requestId: 'r-2', client: 'ops' };
    await deployments.patch(
      'web',
      { config: { ...sized(256), metadata: { team: 'a' } }, max_unavailable: 2 },
      undefined,
      cause,
    );
    const [second, first] = deployments.revisions('web');
    assert.deepEqual(
      { ...second, config: null },
      {
        revision: 2,
        current: true,
        created_at: deployments.get('web').updated_at,
        cause: 'request',
        request_id: 'r-2',
        client: 'ops',
        changes: ['max_unavailable', 'metadata', 'resources.memory_mb'],
        max_unavailable: 2,
        config: null,
      },
    );
    assert.deepEqual(second?.config, deployments.get('web').config);
    assert.deepEqual(
      [first?.revision, first?.current, first?.request_id, first?.client, first?.changes],
      [1, false, 'r-1', 'ci', []],
    );
    await control.shutdown();
  });

  test('grows by no scaling and by no change that changes nothing', async () => {
    const { control, deployments } = await withDeployment();
    await deployments.patch('web', { replicas: 3 });
    await deployments.patch('web', { config: sized(128) });
    assert.deepEqual(told(deployments), [[1, 128, null]]);
    // It is part of what a revision gives back, but replaces nobody.
    await deployments.patch('web', { max_unavailable: 2 });
    const [only, ...others] = deployments.revisions('web');
    assert.deepEqual([only?.revision, only?.max_unavailable, only?.request_id], [1, 2, 'r-1']);
    assert.deepEqual(others, []);
    await control.shutdown();
  });

  test('is written with its change: one that fails leaves nothing, one that was answered is kept', async () => {
    const { world, control, deployments } = await withDeployment();
    world.store.beforeCommit = (events) => {
      if (events.some(({ type }) => type === 'DEPLOYMENT_UPDATED')) {
        throw new VolantError('STORE_UNAVAILABLE');
      }
    };
    await assert.rejects(deployments.patch('web', { config: sized(256) }), {
      code: 'STORE_UNAVAILABLE',
    });
    assert.deepEqual(told(deployments), [[1, 128, null]]);
    assert.deepEqual([...world.store.kept.keys()], ['web/1']);
    world.store.beforeCommit = () => undefined;
    await deployments.patch('web', { config: sized(256) });
    await control.shutdown();
    const next = await engineOn(world);
    assert.deepEqual(told(next.engine.deployments), [
      [2, 256, null],
      [1, 128, null],
    ]);
    await next.shutdown();
  });

  test('is bounded, and only what is new is written', async () => {
    const { world, control, deployments } = await withDeployment();
    const written: string[] = [];
    const commit = world.store.commit.bind(world.store);
    world.store.commit = (writes, events) => {
      for (const { table, key, value } of writes) {
        if (table === 'revisions') written.push(`${value === null ? '-' : '+'}${key.join('/')}`);
      }
      return commit(writes, events);
    };
    const last = LIMITS.deploymentRevisionsMax + 2;
    for (let revision = 2; revision <= last; revision += 1) {
      const config = sized(128 + revision);
      await deployments.patch('web', { config }, { wait: 'accepted', timeoutMs: 0 });
    }
    const numbers = deployments.revisions('web').map(({ revision }) => revision);
    const expected = Array.from({ length: LIMITS.deploymentRevisionsMax }, (_, at) => last - at);
    assert.deepEqual(numbers, expected);
    assert.equal(world.store.kept.size, LIMITS.deploymentRevisionsMax);
    assert.deepEqual(written.slice(-2), ['-web/2', `+web/${last}`]);
    await assert.rejects(deployments.rollback('web', { revision: 2 }), {
      code: 'REVISION_NOT_FOUND',
    });
    await control.shutdown();
  });

  test('goes with its deployment; another one of the name has its own', async () => {
    const { world, control, deployments } = await withDeployment();
    await deployments.patch('web', { config: sized(256) });
    const left = [...world.store.kept];
    await deployments.remove('web');
    assert.equal(world.store.kept.size, 0);
    // As an earlier daemon leaves them, which knows nothing of revisions.
    for (const [key, value] of left) world.store.kept.set(key, value);
    await deployments.create({ name: 'web', replicas: 0, config: sized(64) });
    assert.deepEqual(told(deployments), [[1, 64, null]]);
    assert.equal(world.store.kept.size, 1);
    await control.shutdown();
  });
});

suite('a deployment of a store that had no revisions', () => {
  test('shows the config that it has, and keeps it with the first change', async () => {
    const { world, control, deployments } = await withDeployment();
    await control.shutdown();
    world.store.kept.clear();
    const next = await engineOn(world);
    const after = next.engine.deployments;
    const [only] = after.revisions('web');
    const { created_at } = deployments.get('web');
    assert.deepEqual(
      [only?.revision, only?.current, only?.created_at, only?.cause],
      [1, true, created_at, undefined],
    );
    assert.equal(world.store.kept.size, 0, 'to look writes nothing');
    await after.patch('web', { config: sized(256) });
    assert.deepEqual(told(after), [
      [2, 256, null],
      [1, 128, null],
    ]);
    assert.deepEqual((await after.rollback('web', {})).config.resources?.memory_mb, 128);
    await next.shutdown();
  });

  test('keeps the number that the config had, and does not say when it came', async () => {
    const { world, control, deployments } = await withDeployment();
    await deployments.patch('web', { config: sized(256) });
    await control.shutdown();
    world.store.kept.clear();
    const next = await engineOn(world);
    const after = next.engine.deployments;
    await after.patch('web', { config: sized(64) });
    const [, former, ...others] = after.revisions('web');
    assert.deepEqual([former?.revision, former?.created_at, others], [2, null, []]);
    await next.shutdown();
  });
});

suite('a rollback', () => {
  test('is a new revision with the config before, which all replicas get', async () => {
    const { world, control, deployments, memoryOf } = await withDeployment();
    await deployments.patch('web', { config: sized(256), replicas: 3, max_unavailable: 3 });
    const back = await deployments.rollback('web', {}, undefined, BY_CLIENT);
    assert.deepEqual(
      [back.revision, back.updated_replicas, back.ready_replicas, back.max_unavailable],
      [3, 3, 3, 1],
    );
    assert.deepEqual(back.replicas.map(memoryOf), [128, 128, 128]);
    assert.deepEqual(told(deployments), [
      [3, 128, 1],
      [2, 256, null],
      [1, 128, null],
    ]);
    const event = world.store.events.findLast(({ body }) => body.type === 'DEPLOYMENT_UPDATED');
    assert.match(event?.body.message ?? '', /revision 3, which restores revision 1/);
    assert.equal(event?.body.request_id, 'r-1');
    await control.shutdown();
  });

  test('of a config that does not work brings the former one back', async () => {
    const { world, control, deployments, memoryOf } = await withDeployment();
    world.host.failures.set('launch', new VolantError('HYPERVISOR_FAILED', 'no luck'));
    await deployments.patch('web', { config: sized(256) }, { wait: 'accepted', timeoutMs: 0 });
    world.host.failures.clear();
    const back = await deployments.rollback('web', {}, { wait: 'ready', timeoutMs: 5_000 });
    assert.deepEqual([back.ready_replicas, back.updated_replicas], [2, 2]);
    assert.deepEqual(back.replicas.map(memoryOf), [128, 128]);
    await control.shutdown();
  });

  test('to a named revision; to the present one it changes nothing', async () => {
    const { control, deployments } = await withDeployment();
    await deployments.patch('web', { config: sized(256) });
    await deployments.patch('web', { config: sized(64) });
    assert.equal((await deployments.rollback('web', { revision: 3 })).revision, 3);
    assert.deepEqual((await deployments.rollback('web', { revision: 1 })).revision, 4);
    // Twice the one before: there and back.
    await deployments.rollback('web', {});
    assert.deepEqual(told(deployments).slice(0, 2), [
      [5, 64, 3],
      [4, 128, 1],
    ]);
    await control.shutdown();
  });

  test('as a dry run shows what would be replaced, and does nothing', async () => {
    const { control, deployments } = await withDeployment();
    await deployments.patch('web', { config: sized(256) });
    const planned = deployments.planRollback('web', {});
    assert.deepEqual(
      [planned.dry_run, planned.revision, planned.config.resources?.memory_mb],
      [true, 3, 128],
    );
    assert.deepEqual(
      planned.actions.map(({ action, subject }) => `${action} ${subject}`),
      ['replace.vm web-1', 'replace.vm web-2'],
    );
    assert.equal(deployments.get('web').revision, 2);
    await control.shutdown();
  });

  test('to what is not there is refused with what is there', async () => {
    const { control, deployments } = await withDeployment();
    const refused = (request: { revision?: number }) =>
      assert.rejects(deployments.rollback('web', request), (error: VolantError) => {
        assert.match(error.message, /it has 1$/);
        return error.code === 'REVISION_NOT_FOUND';
      });
    await refused({});
    await refused({ revision: 7 });
    assert.throws(() => deployments.planRollback('web', {}), { code: 'REVISION_NOT_FOUND' });
    await assert.rejects(deployments.rollback('no', {}), { code: 'DEPLOYMENT_NOT_FOUND' });
    assert.throws(() => deployments.revisions('no'), { code: 'DEPLOYMENT_NOT_FOUND' });
    await control.shutdown();
  });

  test('of many clients at once is one revision for each change', async () => {
    const { control, deployments } = await withDeployment();
    await deployments.patch('web', { config: sized(256) });
    const options = { wait: 'accepted', timeoutMs: 0 } as const;
    const answers = await Promise.all([
      deployments.rollback('web', { revision: 1 }, options),
      deployments.rollback('web', { revision: 1 }, options),
      deployments.patch('web', { config: sized(64) }, options),
    ]);
    assert.deepEqual(
      answers.map(({ revision }) => revision),
      [3, 3, 4],
    );
    assert.deepEqual(told(deployments)[0], [4, 64, null]);
    await control.shutdown();
  });
});

test('a change before the create is on disk is the second revision, and that of a create that failed is none', async () => {
  const world = newWorld();
  const control = await engineOn(world);
  const { deployments } = control.engine;
  const accepted = { wait: 'accepted', timeoutMs: 0 } as const;
  const create = () =>
    deployments.create({ name: 'web', replicas: 0, config: sized(128) }, accepted, BY_CLIENT);
  const untilThere = async () => {
    while (deployments.list().length === 0) await Promise.resolve();
  };
  const made = create();
  await untilThere();
  await deployments.patch('web', { config: sized(256) }, accepted);
  await made;
  assert.deepEqual(
    deployments.revisions('web').map(({ request_id }) => request_id),
    [undefined, 'r-1'],
  );
  await deployments.remove('web');
  world.store.beforeCommit = (events) => {
    if (events[0]?.type === 'DEPLOYMENT_CREATED') throw new VolantError('STORE_UNAVAILABLE');
  };
  const failed = assert.rejects(create(), { code: 'STORE_UNAVAILABLE' });
  await untilThere();
  await assert.rejects(deployments.patch('web', { replicas: 1 }, accepted), {
    code: 'DEPLOYMENT_NOT_FOUND',
  });
  await failed;
  assert.equal(world.store.deployments.size + world.store.kept.size, 0);
  await control.shutdown();
});

test('a rebuilt deployment takes the number of replicas that it has as a word, too', async () => {
  const { world, control } = await withDeployment();
  await control.shutdown();
  const record = world.store.deployments.get('web');
  assert.ok(record);
  world.store.deployments.set('web', { ...record, isRebuilt: true });
  const next = await engineOn(world);
  const { deployments } = next.engine;
  const patched = await deployments.patch('web', { replicas: 2 });
  const degraded = patched.conditions.find(({ type }) => type === 'Degraded');
  assert.deepEqual([degraded?.status, patched.ready_replicas], [false, 2]);
  assert.equal(world.store.deployments.get('web')?.isRebuilt, undefined);
  await next.shutdown();
});

test('changed members are paths; of too many of them the members at the top are named', () => {
  const before = { a: 1, b: { c: [1], d: { 'e f': 1 } }, gone: undefined };
  const after = { a: 1, b: { c: [1, 2], d: { 'e f': 2 } }, new: null };
  assert.deepEqual(changedMembers(before, after), ['b.c', 'b.d["e f"]', 'new']);
  assert.deepEqual(changedMembers(before, { ...before }), []);
  const many = Object.fromEntries(
    Array.from({ length: LIMITS.revisionChangesMax + 1 }, (_, at) => [`k${at}`, at]),
  );
  assert.deepEqual(changedMembers({ metadata: {} }, { metadata: many }), ['metadata']);
});
