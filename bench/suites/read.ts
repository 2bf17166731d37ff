// bench: reads. One VM and a list of 100, against the bare HTTP server with answers of the same size.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type BenchDaemon, inParallel, ROOT, startDaemon } from '../lib/daemon.ts';
import { type Row, row } from '../lib/row.ts';
import { median, quantile } from '../lib/statistics.ts';

const run = promisify(execFile);
const BARE_PORT = 20_900;

/** Requests a second by wrk on the other core: 64 connections, kept alive. */
async function load(port: number, path: string, seconds: number): Promise<number> {
  const { stdout } = await run('taskset', [
    ...['-c', '1', 'wrk', '-t1', '-c64', `-d${seconds}s`],
    `http://127.0.0.1:${port}${path}`,
  ]);
  const errors = /Non-2xx or 3xx responses: (\d+)/.exec(stdout);
  if (errors !== null) throw new Error(`${errors[1]} requests failed:\n${stdout}`);
  return Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]);
}

/** The two in turn, so that a machine that slows down slows both. */
async function compare(
  daemon: BenchDaemon,
  path: string,
  rounds: number,
  seconds: number,
): Promise<{ ours: number; bound: number }> {
  const { text } = await daemon.call('GET', path);
  const args = [join(ROOT, '.build/bench/bare-uws.js'), String(BARE_PORT), String(text.length)];
  const bare = spawn('taskset', ['-c', '0', process.execPath, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(bare.stdout, 'data');
  const ours: number[] = [];
  const bound: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    ours.push(await load(daemon.port, path, seconds));
    bound.push(await load(BARE_PORT, '/', seconds));
  }
  bare.kill();
  await once(bare, 'exit');
  return { ours: median(ours), bound: median(bound) };
}

export async function benchReads(quick: boolean): Promise<Row[]> {
  const rounds = quick ? 3 : 7;
  const seconds = quick ? 2 : 4;
  const daemon = await startDaemon({ VOLANT_HYPERVISOR: 'simulator', VOLANT_LOG_LEVEL: 'warn' });
  try {
    await inParallel(100, 16, async (index) => {
      await daemon.call('POST', '/api/v1/vms', { name: `vm-${index}`, plugin: 'hello' });
    });
    const one = await compare(daemon, '/api/v1/vms/vm-7', rounds, seconds);
    const list = await compare(daemon, '/api/v1/vms?limit=100', rounds, seconds);
    const busy = await latencyUnderCreates(daemon, quick ? 1500 : 5000);
    const bare = 'bare uWebSockets.js, a constant of the same size';
    return [
      row('GET one VM', 'requests/s', one.ours, one.bound, bare, { atLeast: 0.85 }),
      row('GET a list of 100', 'requests/s', list.ours, list.bound, bare, { atLeast: 0.5 }),
      row('GET p99 while creates run', 'ms', busy.busy, busy.idle, 'GET p99 on an idle daemon', {
        atMost: 2,
      }),
    ];
  } finally {
    await daemon.stop();
  }
}

/** One reader after the other: how long a client waits, not how much the server can do. */
async function latencyUnderCreates(
  daemon: BenchDaemon,
  samples: number,
): Promise<{ idle: number; busy: number }> {
  const measure = async (): Promise<number> => {
    const times: number[] = [];
    for (let count = 0; count < samples; count += 1) {
      const startedMs = performance.now();
      await daemon.call('GET', '/api/v1/vms/vm-7');
      times.push(performance.now() - startedMs);
    }
    return quantile(times, 0.99);
  };
  await measure();
  const idle = await measure();
  let running = true;
  const creating = inParallel(2_000, 2, async (index) => {
    if (!running) return;
    await daemon.call('POST', '/api/v1/vms', { name: `busy-${index}`, plugin: 'hello' });
  });
  const busy = await measure();
  running = false;
  await creating;
  return { idle, busy };
}
