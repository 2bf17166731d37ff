// What a user reads of a VM whose guest is up and whose workload is not: the reason, as long as it holds.

import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import { LIMITS } from '../../../src/config/limits.ts';
import { WorkloadFollower } from '../../../src/engine/guests/workload-follower.ts';
import {
  unreadyReason,
  workloadBody,
  workloadProblem,
  workloadVerdict,
} from '../../../src/engine/guests/workload-view.ts';
import type {
  AgentConnection,
  WorkloadHealth,
} from '../../../src/engine/ports/hypervisor-ports.ts';
import { silentLog } from '../fakes.ts';

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

function followerOf(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const world: { health: WorkloadHealth | null; runs: boolean; asked: number } = {
    health: FINE,
    runs: true,
    asked: 0,
  };
  const told: (string | null)[] = [];
  let signalChange: () => void = () => undefined;
  const agent = {
    connected: true,
    onChange: (listener: () => void) => {
      signalChange = listener;
    },
    health: async () => {
      world.asked += 1;
      if (world.health === null) throw new Error('no answer');
      return world.health;
    },
  } as unknown as AgentConnection;
  const follower = new WorkloadFollower({
    agentOf: () => (world.runs ? agent : undefined),
    report: (_, workload) => told.push(workload && (workloadProblem(workload) ?? workload.state)),
    limits: LIMITS,
    log: silentLog,
  });
  t.after(() => follower.close());
  const pass = async (ms: number) => {
    for (let at = 0; at < ms; at += 500) {
      t.mock.timers.tick(500);
      for (let turn = 0; turn < 8; turn += 1) await Promise.resolve();
    }
  };
  return { world, told, follower, pass, hint: () => signalChange() };
}

suite('a followed workload', () => {
  test('a workload that cannot be executed is reported once, until it runs', async (t) => {
    const { world, told, follower, pass } = followerOf(t);
    follower.begin(1);
    await pass(2_000);
    assert.deepEqual(told.splice(0), ['running']);
    world.health = MISSING;
    await pass(20_000);
    assert.equal(told.length, 1);
    assert.match(told[0] ?? '', /restarted 2 times: the entrypoint ended: cannot execute \/x/);
    world.health = null;
    await pass(20_000);
    assert.equal(told.length, 1, 'silence says nothing');
    world.health = FINE;
    await pass(20_000);
    assert.deepEqual(told.slice(1), ['running']);
  });

  test('reports of a guest that has ended are dropped, and it is asked no more', async (t) => {
    const { world, told, follower, pass } = followerOf(t);
    world.health = MISSING;
    follower.begin(1);
    await pass(5_000);
    world.runs = false;
    await pass(10_000);
    assert.deepEqual([told.length, told[1]], [2, null]);
    const { asked } = world;
    world.runs = true;
    await pass(20_000);
    assert.equal(world.asked, asked);
  });

  test('a boot begins again, and an end of the daemon ends all looks', async (t) => {
    const { world, follower, pass } = followerOf(t);
    follower.begin(1);
    follower.begin(1);
    await pass(500);
    assert.equal(world.asked, 1);
    follower.close();
    await pass(20_000);
    assert.equal(world.asked, 1);
  });

  test('what an agent says by itself is known at once, however long it was silent; a flood of it is not', async (t) => {
    const { world, told, follower, pass, hint } = followerOf(t);
    follower.begin(1);
    // The clock of timers stands still for what is measured: it is as if no time had passed.
    await pass(120_000);
    world.health = MISSING;
    const before = world.asked;
    for (let times = 0; times < 1_000; times += 1) hint();
    await pass(500);
    assert.match(told.at(-1) ?? '', /cannot execute/);
    assert.equal(world.asked, before + 1);
    follower.end(1);
    assert.equal(told.at(-1), null, 'a guest that has ended has no workload');
    hint();
    await pass(5_000);
    assert.equal(world.asked, before + 1);
  });

  test('verdicts: an end is reported, a loop is reported once, and neither flaps with each start', () => {
    const ended = workloadVerdict({ ...MISSING, lastLines: ['a', 'no port'] });
    assert.deepEqual([ended?.isRunning, ended?.reason], [false, 'Ended']);
    assert.match(ended?.message ?? '', /last output: no port$/);
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
    assert.match(
      unreadyReason(workloadBody(checked)) ?? '',
      /health check of the workload fails: nothing listens/,
    );
    assert.match(unreadyReason(workloadBody(MISSING)) ?? '', /restarted 2 times/);
    assert.equal(unreadyReason(workloadBody(FINE)), null);
    assert.equal(unreadyReason(undefined), null);
  });

  test('sentences', () => {
    assert.equal(workloadProblem(FINE), null);
    const failed = { ...FINE, state: 'failed', lastExit: 'disk data cannot be mounted' };
    assert.equal(workloadProblem(failed), 'The workload cannot run: disk data cannot be mounted');
    const endpoint = { ...FINE, reason: 'the endpoint is never asked' };
    assert.equal(workloadProblem(endpoint), 'The workload: the endpoint is never asked');
  });
});
