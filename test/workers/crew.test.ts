// workers: threads whose jobs do not come back. They hang for real: in open(2) of a pipe that nobody writes to.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { LIMITS } from '../../src/config.ts';
import { success } from '../../src/lib/outcome.ts';
import { Crew, type CrewOptions } from '../../src/workers/crew.ts';
import { DEADLINES_MS } from '../../src/workers/deadlines.ts';
import { letGoOf } from '../../src/workers/late-results.ts';
import { native } from '../../src/workers/native.ts';
import type { AnyOutcome, JobName } from '../../src/workers/protocol.ts';
import { silentLog } from '../engine/fakes.ts';
import type { Told } from './hanging-entry.ts';

const DEADLINE_MS = 400;
const SLOW_MS = 100;

interface World {
  readonly crew: Crew;
  readonly late: [JobName, AnyOutcome | null][];
  run(name: JobName, told: Told): Promise<unknown>;
  /** A pipe on which jobs hang until the end of the test, or until they are let go. */
  pipe(): { path: string; letGo: () => void };
}

function createWorld(t: TestContext, more: Partial<CrewOptions> = {}): World {
  const directory = mkdtempSync(join(tmpdir(), 'volant-crew-'));
  const late: World['late'] = [];
  const deadlines = Object.keys(DEADLINES_MS).map((name) => [name, DEADLINE_MS]);
  const crew = new Crew({
    filename: fileURLToPath(new URL('./hanging-entry.js', import.meta.url)),
    threads: 2,
    jobsPerThread: 1,
    idleMs: null,
    slowMs: SLOW_MS,
    deadlinesMs: Object.fromEntries(deadlines) as Record<JobName, number>,
    onLate: (name, outcome) => late.push([name, outcome]),
    log: silentLog,
    ...more,
  });
  const pipes: (() => void)[] = [];
  t.after(async () => {
    for (const letGo of pipes) letGo();
    await crew.close(1_000);
    rmSync(directory, { recursive: true });
  });
  return {
    crew,
    late,
    run: (name, told) => crew.run(name, told as never),
    pipe: () => {
      const path = join(directory, `pipe-${pipes.length}`);
      execFileSync('mkfifo', [path]);
      let fd: number | null = null;
      const letGo = () => {
        // For reading, too: it never waits, and who waits to read may go on.
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

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadlineMs = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > deadlineMs) throw new Error(`not within 10 s: ${what}`);
    await pause(5);
  }
}

test('a job that does not come back is given up at its deadline, and its result is not lost', async (t) => {
  const { crew, late, run, pipe } = createWorld(t);
  const { path, letGo } = pipe();
  await assert.rejects(run('launch', { pipe: path, result: { pidfd: -1 } }), {
    code: 'HOST_TIMEOUT',
    status: 500,
  });
  assert.deepEqual(crew.facts, { working: 2, hanging: 1, away: 1 });
  assert.equal(crew.hanging('launch').length, 1);
  letGo();
  await until(() => late.length > 0, 'the late result');
  assert.deepEqual(late, [['launch', success({ pidfd: -1 })]]);
  assert.deepEqual(crew.facts, { working: 2, hanging: 0, away: 0 });
});

test('while every thread hangs, others do the work', async (t) => {
  const { crew, run, pipe } = createWorld(t);
  const { path } = pipe();
  const hanging = [1, 2].map(() => run('readLogTail', { pipe: path }));
  const outcomes = Promise.allSettled(hanging);
  const startedMs = performance.now();
  assert.equal(await run('ping', { result: 7 }), 7);
  assert.ok(performance.now() - startedMs < DEADLINE_MS * 4, 'it waited for those that hang');
  assert.equal(crew.facts.working, 2);
  for (const { status } of await outcomes) assert.equal(status, 'rejected');
  assert.equal(crew.facts.hanging, 2);
});

test('a job that is only slow is answered, and its substitute does not stay', async (t) => {
  const { crew, late, run, pipe } = createWorld(t);
  const { path, letGo } = pipe();
  const slow = run('readLogTail', { pipe: path, result: 'there' });
  await pause(SLOW_MS * 2);
  letGo();
  assert.equal(await slow, 'there');
  assert.deepEqual(late, []);
  assert.deepEqual(crew.facts, { working: 2, hanging: 0, away: 0 });
});

test('so many jobs of a name may hang; then they are refused, and other jobs are not', async (t) => {
  const { crew, run, pipe } = createWorld(t);
  const { path, letGo } = pipe();
  const hanging = Array.from({ length: LIMITS.jobsHangingMax }, () =>
    run('readLogTail', { pipe: path }),
  );
  await Promise.allSettled(hanging);
  const startedMs = performance.now();
  await assert.rejects(run('readLogTail', {}), { code: 'HOST_TIMEOUT' });
  assert.ok(performance.now() - startedMs < DEADLINE_MS / 2);
  assert.equal(await run('ping', { result: 1 }), 1);
  letGo();
  await until(() => crew.facts.hanging === 0, 'all have come back');
  assert.equal(await run('readLogTail', { result: 2 }), 2);
});

test('a thread that dies fails its job with a reason, and another has its place', async (t) => {
  const deadlinesMs = { launch: 20_000, ping: 20_000 } as Record<JobName, number>;
  const { crew, late, run } = createWorld(t, { deadlinesMs, slowMs: null });
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
  assert.deepEqual([crew.facts, late], [{ working: 2, hanging: 0, away: 0 }, []]);
});

test('an end waits for jobs that run, and not for those that hang', async (t) => {
  const { crew, run, pipe } = createWorld(t);
  const { path } = pipe();
  await assert.rejects(run('readLogTail', { pipe: path }));
  const last = run('ping', { result: 3 });
  const startedMs = performance.now();
  assert.equal(await crew.close(30_000), 1);
  assert.ok(performance.now() - startedMs < LIMITS.threadEndMs + 2_000);
  assert.equal(await last, 3);
  await assert.rejects(run('ping', {}), { code: 'SHUTTING_DOWN' });
});

test('a job that runs too long is left behind by an end', async (t) => {
  const { crew, run, pipe } = createWorld(t, { slowMs: null });
  const { path } = pipe();
  const never = assert.rejects(run('launch', { pipe: path }), { code: 'SHUTTING_DOWN' });
  assert.equal(await crew.close(50), 1);
  await never;
});

test('a hypervisor whose launch was given up is ended when it comes late, one that was found is not', async () => {
  const openFiles = readdirSync('/proc/self/fd').length;
  const child = spawn('sleep', ['60']);
  const ended = once(child, 'exit');
  const { pid = 0 } = child;
  letGoOf('openHypervisor', success({ pidfd: native.pidfdOpen(pid) }), silentLog);
  await pause(50);
  assert.equal(child.signalCode, null);
  letGoOf('launch', success({ pidfd: native.pidfdOpen(pid) } as never), silentLog);
  await ended;
  assert.equal(child.signalCode, 'SIGKILL');
  letGoOf('launch', null, silentLog);
  letGoOf('openHypervisor', success({ pidfd: null }), silentLog);
  await pause(50);
  assert.ok(readdirSync('/proc/self/fd').length <= openFiles, 'descriptors were closed');
});
