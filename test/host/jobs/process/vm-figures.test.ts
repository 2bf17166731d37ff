// jobs, process: what the kernel counted for a process, read from the files of a real one.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { FIGURE, FIGURES } from '../../../../src/engine/ports/stats-ports.ts';
import { readHost } from '../../../../src/host/jobs/process/host-readings.ts';
import { readVms } from '../../../../src/host/jobs/process/vm-figures.ts';
import { startTimeOf } from '../../../../src/host/jobs/process-facts.ts';
import type { HostSettings } from '../../../../src/host/jobs/protocol.ts';
import { packed } from '../../../../src/host/stats.ts';

const settings = { hostTag: 'fade' } as HostSettings;

/** A process that has used half a second of processor time and 64 MiB, and then waits. */
const BUSY = `
  const held = Buffer.alloc(64 * 2 ** 20, 1);
  while (process.cpuUsage().user < 500_000);
  process.stdout.write(String(held.length));
  setInterval(() => undefined, 1000);
`;

async function start(t: TestContext): Promise<ChildProcess & { pid: number }> {
  const child = spawn(process.execPath, ['-e', BUSY], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => void child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  assert.ok(child.pid);
  return child as ChildProcess & { pid: number };
}

const readOne = (pid: number, startTimeTicks: number) =>
  readVms({
    settings,
    vms: packed([{ pid, startTimeTicks, tapName: null, cgroupName: 'vm-1' }]),
  }).figures;

test('processor time, memory and age of a process', async (t) => {
  const { pid } = await start(t);
  const startTimeTicks = startTimeOf(pid) ?? 0;
  const before = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
  const figures = readOne(pid, startTimeTicks);
  assert.equal(figures.length, FIGURES);
  const seconds = figures[FIGURE.userSeconds] ?? 0;
  assert.ok(seconds >= 0.4 && seconds <= before, String(seconds));
  assert.ok((figures[FIGURE.systemSeconds] ?? -1) >= 0);
  assert.ok((figures[FIGURE.residentBytes] ?? 0) > 64 * 2 ** 20);
  const ageSeconds = figures[FIGURE.uptimeSeconds] ?? 0;
  assert.ok(ageSeconds >= before - startTimeTicks / 100 - 0.02, String(ageSeconds));
  assert.ok(Number.isNaN(figures[FIGURE.receivedBytes]), 'it has no tap');
});

test('another process with the pid, and one that is gone, have no figures', async (t) => {
  const child = await start(t);
  const startTimeTicks = startTimeOf(child.pid) ?? 0;
  assert.ok(readOne(child.pid, startTimeTicks - 1).every(Number.isNaN));
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
  assert.ok(readOne(child.pid, startTimeTicks).every(Number.isNaN));
});

test('several are read at once, each into a row of its own', async (t) => {
  const { pid } = await start(t);
  const ours = {
    pid,
    startTimeTicks: startTimeOf(pid) ?? 0,
    tapName: 'vtfade-1',
    cgroupName: 'vm-1',
  };
  const gone = { ...ours, pid: 2 ** 22 };
  const { figures } = readVms({ settings, vms: packed([gone, ours, gone]) });
  const alive = [0, 1, 2].filter(
    (row) => !Number.isNaN(figures[row * FIGURES + FIGURE.userSeconds]),
  );
  assert.deepEqual(alive, [1]);
});

test('counters and memory of the host', () => {
  const reading = readHost();
  const { userSeconds, systemSeconds, idleSeconds } = reading;
  assert.ok(userSeconds > 0 && systemSeconds > 0 && idleSeconds > 0);
  assert.ok(reading.memoryAvailableBytes > 0);
  assert.ok(reading.memoryAvailableBytes < reading.memoryTotalBytes);
  assert.equal(reading.loadAverages.filter((load) => load >= 0).length, 3);
});
