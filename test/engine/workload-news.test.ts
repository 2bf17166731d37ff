// What a user reads of a VM whose guest is up and whose workload is not: the reason, as long as it holds.

import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import type { AgentConnection, WorkloadHealth } from '../../src/engine/ports.ts';
import { WorkloadNews, workloadTrouble } from '../../src/engine/workload-news.ts';
import { silentLog } from './fakes.ts';

const FINE: WorkloadHealth = {
  state: 'running',
  healthy: true,
  restarts: 0,
  lastExit: '',
  reason: '',
};
const MISSING: WorkloadHealth = {
  state: 'backoff',
  healthy: false,
  restarts: 2,
  lastExit: 'cannot execute /x: No such file or directory',
  reason: 'the entrypoint ended: cannot execute /x: No such file or directory',
};

function newsOf(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const world: { health: WorkloadHealth | null; runs: boolean; asked: number } = {
    health: FINE,
    runs: true,
    asked: 0,
  };
  const told: (string | null)[] = [];
  const agent = {
    connected: true,
    health: async () => {
      world.asked += 1;
      if (world.health === null) throw new Error('no answer');
      return world.health;
    },
  } as unknown as AgentConnection;
  const news = new WorkloadNews({
    agentOf: () => (world.runs ? agent : undefined),
    explain: (_, reason) => told.push(reason),
    log: silentLog,
  });
  t.after(() => news.close());
  const pass = async (ms: number) => {
    for (let at = 0; at < ms; at += 500) {
      t.mock.timers.tick(500);
      for (let turn = 0; turn < 8; turn += 1) await Promise.resolve();
    }
  };
  return { world, told, news, pass };
}

suite('news of a workload', () => {
  test('a workload that cannot be executed is told once, until it runs', async (t) => {
    const { world, told, news, pass } = newsOf(t);
    news.begin(1);
    await pass(2_000);
    assert.deepEqual(told, []);
    world.health = MISSING;
    await pass(20_000);
    assert.equal(told.length, 1);
    assert.match(told[0] ?? '', /started again 2 times: the entrypoint ended: cannot execute \/x/);
    world.health = null;
    await pass(20_000);
    assert.equal(told.length, 1, 'silence says nothing');
    world.health = FINE;
    await pass(20_000);
    assert.deepEqual(told.slice(1), [null]);
  });

  test('what was told of a guest that has ended is over, and nobody asks on', async (t) => {
    const { world, told, news, pass } = newsOf(t);
    world.health = MISSING;
    news.begin(1);
    await pass(5_000);
    world.runs = false;
    await pass(10_000);
    assert.deepEqual([told.length, told[1]], [2, null]);
    const { asked } = world;
    world.runs = true;
    await pass(20_000);
    assert.equal(world.asked, asked);
  });

  test('a boot begins anew, and an end of the daemon ends all looks', async (t) => {
    const { world, news, pass } = newsOf(t);
    news.begin(1);
    news.begin(1);
    await pass(500);
    assert.equal(world.asked, 1);
    news.close();
    await pass(20_000);
    assert.equal(world.asked, 1);
  });

  test('sentences', () => {
    assert.equal(workloadTrouble(FINE), null);
    const failed = { ...FINE, state: 'failed', lastExit: 'disk data cannot be mounted' };
    assert.equal(workloadTrouble(failed), 'The workload cannot run: disk data cannot be mounted');
    const endpoint = { ...FINE, reason: 'the endpoint is never asked' };
    assert.equal(workloadTrouble(endpoint), 'The workload: the endpoint is never asked');
  });
});
