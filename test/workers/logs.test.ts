// Logs of guests and hypervisors: whoever writes without end fills neither the disk nor the daemon's memory.

import assert from 'node:assert/strict';
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
import { LIMITS, loadConfig } from '../../src/config.ts';
import { RUN_FILES } from '../../src/engine/ports.ts';
import { createHost } from '../../src/workers/pool.ts';
import { silentLog } from '../engine/fakes.ts';

const MIB = 1024 ** 2;

test('a console of 1 GB a minute keeps its newest lines, whoever writes it goes on behind them', async (t) => {
  const home = mkdtempSync(join(tmpdir(), 'volant-logs-'));
  const host = createHost(loadConfig({ VOLANT_HOME: home }), silentLog);
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
  const residentBefore = process.memoryUsage().rss;
  let line = 0;
  for (let round = 0; round < 4; round += 1) {
    // What comes in two seconds.
    for (let block = 0; block < 32; block += 1) {
      const first = line + 1;
      line += 10_000;
      const lines = Array.from(
        { length: 10_000 },
        (_, index) => `${String(first + index).padStart(100, '.')}\n`,
      );
      writeSync(fd, lines.join(''));
    }
    assert.ok(statSync(path).size > 30 * MIB);
    await host.trimLogs([1, 2]);
    assert.ok(statSync(path).size <= LIMITS.logBytesMax);
  }
  writeSync(fd, 'what came after\n');
  const kept = readFileSync(path, 'utf8').split('\n');
  assert.deepEqual(kept.slice(-2), ['what came after', '']);
  const numbers = kept.slice(0, -2).map((text) => Number(text.replaceAll('.', '')));
  assert.equal(numbers.at(-1), line);
  // Whole lines, and none is missing among them.
  assert.deepEqual(
    numbers,
    numbers.map((_, index) => line - numbers.length + 1 + index),
  );
  const replayed = await host.readConsole(1);
  assert.ok(replayed.length <= LIMITS.consoleReplayBytesMax);
  assert.ok(process.memoryUsage().rss - residentBefore < 100 * MIB);
});
