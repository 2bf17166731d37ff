// What a user reads of a VM whose guest is up and whose workload is not: the reason, as long as it holds.

import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import type { AgentConnection, WorkloadHealth } from '../../src/engine/ports.ts';
import { WorkloadNews } from '../../src/engine/workload-news.ts';
import {
  unreadyReason,
  workloadBody,
  workloadTrouble,
  workloadVerdict,
} from '../../src/engine/workload-view.ts';
import { silentLog } from './fakes.ts';

const FINE: WorkloadHealth = {
  state: 'running',
  healthy: true,
  check: 'http',
  checkFailure: '',
  restarts: 0,
  lastExit: '',
  exitCode: null,
  exitSignal: null,
  lastLines: [],
  reason: '',
};
const MISSING: WorkloadHealth = {
  ...FINE,
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
  let tellNews: () => void = () => undefined;
  const agent = {
    connected: true,
    onNews: (listener: () => void) => {
      tellNews = listener;
    },
    health: async () => {
      world.asked += 1;
      if (world.health === null) throw new Error('no answer');
      return world.health;
    },
  } as unknown as AgentConnection;
  const news = new WorkloadNews({
    agentOf: () => (world.runs ? agent : undefined),
    tell: (_, workload) => told.push(workload && (workloadTrouble(workload) ?? workload.state)),
    log: silentLog,
  });
  t.after(() => news.close());
  const pass = async (ms: number) => {
    for (let at = 0; at < ms; at += 500) {
      t.mock.timers.tick(500);
      for (let turn = 0; turn < 8; turn += 1) await Promise.resolve();
    }
  };
  return { world, told, news, pass, hint: () => tellNews() };
}

suite('news of a workload', () => {
  test('a workload that cannot be executed is told once, until it runs', async (t) => {
    const { world, told, news, pass } = newsOf(t);
    news.begin(1);
    await pass(2_000);
    assert.deepEqual(told.splice(0), ['running']);
    world.health = MISSING;
    await pass(20_000);
    assert.equal(told.length, 1);
    assert.match(told[0] ?? '', /started again 2 times: the entrypoint ended: cannot execute \/x/);
    world.health = null;
    await pass(20_000);
    assert.equal(told.length, 1, 'silence says nothing');
    world.health = FINE;
    await pass(20_000);
    assert.deepEqual(told.slice(1), ['running']);
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

  test('what an agent says by itself is known at once, however long it was silent; a flood of it is not', async (t) => {
    const { world, told, news, pass, hint } = newsOf(t);
    news.begin(1);
    // The clock of timers stands still for what is measured: it is as if no time had passed.
    await pass(120_000);
    world.health = MISSING;
    const before = world.asked;
    for (let times = 0; times < 1_000; times += 1) hint();
    await pass(500);
    assert.match(told.at(-1) ?? '', /cannot execute/);
    assert.equal(world.asked, before + 1);
    news.end(1);
    assert.equal(told.at(-1), null, 'a guest that has ended has no workload');
    hint();
    await pass(5_000);
    assert.equal(world.asked, before + 1);
  });

  test('verdicts: an end is told, a loop is told once, and neither flaps with each start', () => {
    const ended = workloadVerdict({ ...MISSING, lastLines: ['a', 'no port'] });
    assert.deepEqual([ended?.isRunning, ended?.reason], [false, 'Ended']);
    assert.match(ended?.message ?? '', /it wrote last: no port$/);
    const loop = { ...MISSING, restarts: 7 };
    assert.equal(workloadVerdict(loop)?.reason, 'CrashLoop');
    assert.deepEqual(
      workloadVerdict({ ...loop, restarts: 8, state: 'running' }),
      workloadVerdict(loop),
    );
    assert.equal(workloadVerdict({ ...MISSING, state: 'running' }), null, 'it may end again');
    assert.deepEqual(workloadVerdict({ ...loop, state: 'running', reason: '' }), {
      isRunning: true,
      reason: 'Runs',
      message: '',
    });
    assert.equal(workloadVerdict({ ...FINE, state: 'failed' })?.reason, 'CannotRun');
    assert.equal(workloadVerdict({ ...FINE, state: 'external' }), null);
  });

  test('why it is not ready: what ended it, else what its check says', () => {
    const checked = { ...FINE, healthy: null, checkFailure: 'nothing listens at 127.0.0.1:80' };
    assert.match(unreadyReason(workloadBody(checked)) ?? '', /does not pass: nothing listens/);
    assert.match(unreadyReason(workloadBody(MISSING)) ?? '', /started again 2 times/);
    assert.equal(unreadyReason(workloadBody(FINE)), null);
    assert.equal(unreadyReason(undefined), null);
  });

  test('sentences', () => {
    assert.equal(workloadTrouble(FINE), null);
    const failed = { ...FINE, state: 'failed', lastExit: 'disk data cannot be mounted' };
    assert.equal(workloadTrouble(failed), 'The workload cannot run: disk data cannot be mounted');
    const endpoint = { ...FINE, reason: 'the endpoint is never asked' };
    assert.equal(workloadTrouble(endpoint), 'The workload: the endpoint is never asked');
  });
});
