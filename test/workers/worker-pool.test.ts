// workers: threads whose jobs do not return. They hang for real: in open(2) of a pipe that nobody writes to.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { LIMITS } from '../../src/config/limits.ts';
import { native } from '../../src/host/jobs/native.ts';
import type { AnyOutcome, JobName } from '../../src/host/jobs/protocol.ts';
import { releaseLateResult } from '../../src/host/late-results.ts';
import { success } from '../../src/lib/outcome.ts';
import { ORDINARY } from '../../src/lib/priority.ts';
import { DEADLINES_MS } from '../../src/workers/deadlines.ts';
import { JobMeter } from '../../src/workers/job-meter.ts';
import { WorkerPool, type WorkerPoolOptions } from '../../src/workers/worker-pool.ts';
import { silentLog } from '../engine/fakes.ts';
import { until } from '../helpers/until.ts';
import type { Told } from './hanging-entry.ts';

const DEADLINE_MS = 2_000;
const SLOW_MS = 100;

interface World {
  readonly pool: WorkerPool;
  readonly late: [JobName, AnyOutcome | null][];
  run(name: JobName, told: Told): Promise<unknown>;
  /** A pipe on which jobs hang until the end of the test, or until they are let go. */
  pipe(): { path: string; letGo: () => void };
}

function createWorld(t: TestContext, more: Partial<WorkerPoolOptions> = {}): World {
  const directory = mkdtempSync(join(tmpdir(), 'volant-crew-'));
  const late: World['late'] = [];
  const meter = new JobMeter();
  const deadlines = Object.keys(DEADLINES_MS).map((name) => [name, DEADLINE_MS]);
  const pool = new WorkerPool({
    filename: fileURLToPath(new URL('./hanging-entry.js', import.meta.url)),
    priorities: ORDINARY,
    threads: 2,
    jobsPerThread: 1,
    idleMs: null,
    slowMs: SLOW_MS,
    deadlinesMs: Object.fromEntries(deadlines) as Record<JobName, number>,
    onLate: (name, outcome) => late.push([name, outcome]),
    meter,
    log: silentLog,
    ...more,
  });
  const pipes: (() => void)[] = [];
  t.after(async () => {
    for (const letGo of pipes) letGo();
    await pool.close(1_000);
    rmSync(directory, { recursive: true });
  });
  return {
    pool,
    late,
    run: (name, told) => pool.run(name, told as never),
    pipe: () => {
      const path = join(directory, `pipe-${pipes.length}`);
      execFileSync('mkfifo', [path]);
      let fd: number | null = null;
      const letGo = () => {
        // For reading, too: it never waits, and who waits to read may continue.
        fd ??= openSync(path, 'r+');
      };
      t.after(() => {
        if (fd !== null) closeSync(fd);
      });
      pipes.push(letGo);
      return { path, letGo };
    },
  };
}

test('a job that does not return is given up at its deadline, and its result is not lost', async (t) => {
  const { pool, late, run, pipe } = createWorld(t);
  const { path, letGo } = pipe();
  await assert.rejects(run('launch', { pipe: path, result: { pidfd: -1 } }), {
    code: 'HOST_TIMEOUT',
    status: 500,
  });
  assert.deepEqual(pool.facts, { working: 2, hanging: 1, replaced: 1 });
  assert.equal(pool.hanging('launch').length, 1);
  letGo();
  await until('the late result', () => late.length > 0);
  assert.deepEqual(late, [['launch', success({ pidfd: -1 })]]);
  assert.deepEqual(pool.facts, { working: 2, hanging: 0, replaced: 0 });
});

test('while every thread hangs, others do the work', async (t) => {
  const deadlinesMs = { readLogTail: DEADLINE_MS, ping: 20_000 } as Record<JobName, number>;
  const { pool, run, pipe } = createWorld(t, { deadlinesMs });
  // Nobody lets them go: what waits for them waits forever.
  const { path } = pipe();
  const hanging = [1, 2].map(() => run('readLogTail', { pipe: path }));
  const outcomes = Promise.allSettled(hanging);
  assert.equal(await run('ping', { result: 7 }), 7);
  assert.equal(pool.facts.working, 2);
  for (const { status } of await outcomes) assert.equal(status, 'rejected');
  assert.equal(pool.facts.hanging, 2);
});

test('a job that is only slow is answered, and its substitute does not stay', async (t) => {
  const { pool, late, run, pipe } = createWorld(t);
  const { path, letGo } = pipe();
  const slow = run('readLogTail', { pipe: path, result: 'there' });
  await pause(SLOW_MS * 2);
  letGo();
  assert.equal(await slow, 'there');
  assert.deepEqual(late, []);
  assert.deepEqual(pool.facts, { working: 2, hanging: 0, replaced: 0 });
});

test('so many jobs of a name may hang; then they are refused, and other jobs are not', async (t) => {
  const { pool, run, pipe } = createWorld(t);
  const { path, letGo } = pipe();
  const hanging = Array.from({ length: LIMITS.jobsHangingMax }, () =>
    run('readLogTail', { pipe: path }),
  );
  await Promise.allSettled(hanging);
  // It would be answered: nothing hangs in it.
  await assert.rejects(run('readLogTail', {}), { code: 'HOST_TIMEOUT' });
  assert.equal(await run('ping', { result: 1 }), 1);
  letGo();
  await until('all have come back', () => pool.facts.hanging === 0);
  assert.equal(await run('readLogTail', { result: 2 }), 2);
});

test('a thread that dies fails its job with a reason, and another has its place', async (t) => {
  const deadlinesMs = { launch: 20_000, ping: 20_000 } as Record<JobName, number>;
  const { pool, late, run } = createWorld(t, { deadlinesMs, slowMs: null });
  for (let round = 0; round < 3; round += 1) {
    const jobs = [1, 2, 3].map(() =>
      assert.rejects(run('launch', { dies: true }), {
        code: 'INTERNAL',
        message: 'A worker thread failed',
      }),
    );
    await Promise.all(jobs);
    assert.equal(await run('ping', { result: round }), round);
  }
  assert.deepEqual([pool.facts, late], [{ working: 2, hanging: 0, replaced: 0 }, []]);
});

test('an end waits for jobs that run, and not for those that hang', async (t) => {
  const { pool, run, pipe } = createWorld(t);
  const { path } = pipe();
  await assert.rejects(run('readLogTail', { pipe: path }));
  const last = run('ping', { result: 3 });
  const startedMs = performance.now();
  assert.equal(await pool.close(30_000), 1);
  assert.ok(performance.now() - startedMs < LIMITS.threadEndMs + 2_000);
  assert.equal(await last, 3);
  await assert.rejects(run('ping', {}), { code: 'SHUTTING_DOWN' });
});

test('a job that runs too long is left behind by an end', async (t) => {
  const { pool, run, pipe } = createWorld(t, { slowMs: null });
  const { path } = pipe();
  const never = assert.rejects(run('launch', { pipe: path }), { code: 'SHUTTING_DOWN' });
  assert.equal(await pool.close(50), 1);
  await never;
});

test('a hypervisor whose launch was given up is ended when it comes late, one that was found is not', async () => {
  const openFiles = readdirSync('/proc/self/fd').length;
  const child = spawn('sleep', ['60']);
  const ended = once(child, 'exit');
  const { pid = 0 } = child;
  const found = [native.pidfdOpen(pid), null, native.pidfdOpen(pid)];
  releaseLateResult('openHypervisors', success({ pidfds: found }), silentLog);
  await pause(50);
  assert.equal(child.signalCode, null);
  releaseLateResult('launch', success({ pidfd: native.pidfdOpen(pid) } as never), silentLog);
  await ended;
  assert.equal(child.signalCode, 'SIGKILL');
  releaseLateResult('launch', null, silentLog);
  releaseLateResult('openHypervisors', success({ pidfds: [null] }), silentLog);
  await pause(50);
  assert.ok(readdirSync('/proc/self/fd').length <= openFiles, 'descriptors were closed');
});
