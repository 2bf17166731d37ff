// lib: the look at the main thread never harms it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { monitorLoop } from '../../../src/lib/log/loop-monitor.ts';
import { silentLog } from '../../engine/fakes.ts';

test('a stall is reported also when its cause cannot be found', async (t) => {
  const told: object[] = [];
  const log = { ...silentLog, warn: (bindings: object) => void told.push(bindings) };
  const monitor = monitorLoop(log, 50, () => {
    throw new Error('EMFILE: too many open files');
  });
  t.after(() => monitor.end());
  await pause(50);
  const untilMs = performance.now() + 200;
  while (performance.now() < untilMs);
  await pause(1_200);
  assert.equal((told[0] as { activity?: string }).activity, 'EMFILE: too many open files');
  assert.ok(monitor.longestMs() >= 100);
});
