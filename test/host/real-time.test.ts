// test, host: when the main thread has real-time priority.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { native } from '../../src/host/jobs/native.ts';
import { isRealTimeNext, keepRealTime } from '../../src/host/real-time.ts';
import type { Logger } from '../../src/lib/log/log.ts';
import { requireCapability } from '../helpers/capabilities.ts';

const SCHED_RR = 2;

/** Field 41 of /proc/<pid>/stat (proc_pid_stat(5)). */
function policyOf(pid: number | 'self'): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[38]);
}

/** A thread whose use of its processor the test chooses, and the changes that were asked for. */
function fakeThread(t: TestContext) {
  t.mock.timers.enable({ apis: ['setInterval'] });
  let nowMs = 0;
  let usedMs = 0;
  t.mock.method(performance, 'now', () => nowMs);
  const changes: boolean[] = [];
  const messages: string[] = [];
  const log = { info: (_: object, message: string) => messages.push(message) };
  return {
    changes,
    messages,
    log: log as unknown as Logger,
    scheduling: {
      threadRealTime: (isRealTime: boolean) => void changes.push(isRealTime),
      threadCpuMs: () => usedMs,
    },
    use: (share: number) => {
      nowMs += 100;
      usedMs += 100 * share;
      t.mock.timers.tick(100);
    },
  };
}

test('a thread has real-time priority until it needs most of a processor', () => {
  assert.equal(isRealTimeNext(true, 0.79), true);
  assert.equal(isRealTimeNext(true, 0.8), false);
  assert.equal(isRealTimeNext(false, 0.6), false);
  assert.equal(isRealTimeNext(false, 0.59), true);
});

test('the priority follows the load, and only changes are asked for', (t) => {
  const { changes, log, scheduling, use } = fakeThread(t);
  const realTime = keepRealTime(log, scheduling);
  for (const share of [0.1, 0.7, 0.9, 1, 0.7, 0.3, 0.2]) use(share);
  assert.deepEqual(changes, [true, false, true]);
  realTime.end();
  use(1);
  assert.deepEqual(changes, [true, false, true, false]);
});

test('where the host does not allow it the log says so once, and nothing is tried again', (t) => {
  const { messages, log, scheduling, use } = fakeThread(t);
  let tries = 0;
  const refused = () => {
    tries += 1;
    throw Object.assign(new Error('not permitted'), { code: 'EPERM' });
  };
  const realTime = keepRealTime(log, { ...scheduling, threadRealTime: refused });
  for (const share of [0.1, 0.9, 0.1]) use(share);
  realTime.end();
  assert.equal(tries, 1);
  assert.deepEqual(messages, ['the main thread has no real-time priority']);
});

test('what a real-time thread starts is ordinary', (t) => {
  if (!requireCapability(t, 'root')) return;
  const beforeMs = native.threadCpuMs();
  native.threadRealTime(true);
  try {
    assert.equal(policyOf('self'), SCHED_RR);
    const child = execFileSync('cut', ['-d', ' ', '-f', '41', '/proc/self/stat'], {
      encoding: 'utf8',
    });
    assert.equal(Number(child), 0);
  } finally {
    native.threadRealTime(false);
  }
  assert.equal(policyOf('self'), 0);
  assert.ok(native.threadCpuMs() > beforeMs);
});
