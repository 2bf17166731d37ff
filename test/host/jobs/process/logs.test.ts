// Logs of guests and hypervisors: whoever writes without end fills neither the disk nor the daemon's memory.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { LIMITS } from '../../../../src/config/limits.ts';
import { loadConfig } from '../../../../src/config.ts';
import { RUN_FILES } from '../../../../src/engine/ports/hypervisor-ports.ts';
import { createHost } from '../../../../src/host/host.ts';
import { startThreads } from '../../../../src/workers/pool.ts';
import { silentLog } from '../../../engine/fakes.ts';

const MIB = 1024 ** 2;

test('a console of 1 GB a minute keeps its newest lines, and its writer continues behind them', async (t) => {
  const home = mkdtempSync(join(tmpdir(), 'volant-logs-'));
  const host = createHost(loadConfig({ VOLANT_HOME: home }), silentLog, startThreads);
  const directory = join(home, 'run/1');
  mkdirSync(directory, { recursive: true });
  const path = join(directory, RUN_FILES.consoleLog);
  // As a hypervisor does.
  const fd = openSync(path, 'a');
  t.after(async () => {
    closeSync(fd);
    await host.close();
    rmSync(home, { recursive: true });
  });
  let line = 0;
  const residents: number[] = [];
  for (let round = 0; round < 4; round += 1) {
    // What comes in two seconds. Another process makes it: its memory is not what is measured.
    const [first, last] = [line + 1, line + 320_000];
    execFileSync('seq', ['-f', '%0100.0f', String(first), String(last)], {
      stdio: ['ignore', fd, 'inherit'],
    });
    line = last;
    assert.ok(statSync(path).size > 30 * MIB);
    await host.processes.trimLogs([1, 2]);
    assert.ok(statSync(path).size <= LIMITS.logBytesMax);
    const replayed = await host.processes.readConsole(1);
    assert.ok(replayed.length <= LIMITS.consoleReplayBytesMax);
    residents.push(process.memoryUsage().rss);
  }
  writeSync(fd, 'what came after\n');
  const kept = readFileSync(path, 'utf8').split('\n');
  assert.deepEqual(kept.slice(-2), ['what came after', '']);
  const numbers = kept.slice(0, -2).map((text) => Number(text));
  assert.equal(numbers.at(-1), line);
  // Whole lines, and none is missing among them.
  assert.deepEqual(
    numbers,
    numbers.map((_, index) => line - numbers.length + 1 + index),
  );
  // The first round starts the threads. After that memory does not grow by what is written.
  const growth = Math.max(...residents) - (residents[0] ?? 0);
  assert.ok(growth < 20 * MIB, `${growth / MIB} MiB more than after the first round`);
});
