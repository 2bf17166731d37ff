// bench: far more creates at once than the daemon carries out at once: how long its main thread stands still, how long
// readers wait meanwhile, and whether what it says to those whom it sends away is true.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type BurstAnswer, burst, countAnswers } from '../lib/burst.ts';
import { type BenchDaemon, startDaemon } from '../lib/daemon.ts';
import { startProbe } from '../lib/probe.ts';
import { type Row, row } from '../lib/row.ts';
import { quantile } from '../lib/statistics.ts';

const SAMPLE_MS = 3_000;
/** What the daemon promises of its main thread. */
const STALL_MS = 100;

export async function benchOverload(quick: boolean): Promise<Row[]> {
  const count = quick ? 1_000 : 5_000;
  const rows: Row[] = [];
  // All at once, and over as many connections as a client library opens.
  for (const connections of [count, 128]) rows.push(...(await measure(count, connections)));
  return rows;
}

async function measure(count: number, connections: number): Promise<Row[]> {
  const daemon = await startDaemon({ VOLANT_HYPERVISOR: 'simulator', VOLANT_LOG_LEVEL: 'warn' });
  const path = '/api/v1/vms/probed';
  await daemon.call('POST', '/api/v1/vms', { name: 'probed', plugin: 'hello' });
  const probe = startProbe(daemon.port, path);
  try {
    await pause(SAMPLE_MS / 3);
    await probe.samples();
    await pause(SAMPLE_MS);
    const idle = await probe.samples();
    const answers = await burst(daemon.port, count, connections, (index) => ({
      method: 'POST',
      path: '/api/v1/vms',
      body: { name: `burst-${index}`, plugin: 'hello' },
    }));
    const busy = await probe.samples();
    // The log tells of each second after it has passed.
    await pause(1_500);
    describe(answers, connections);
    const what = `${count} creates over ${connections} connections`;
    return [
      row(`${what}: longest stall`, 'ms', longestStall(daemon), STALL_MS, 'what is promised', {
        atMost: 1,
      }),
      row(
        `${what}: GET p99`,
        'ms',
        quantile(busy, 0.99),
        quantile(idle, 0.99),
        'GET p99 on the idle daemon',
        { atMost: 3 },
      ),
    ];
  } finally {
    probe.end();
    await daemon.stop();
  }
}

/** Told by the daemon itself; 0 where it told of none. */
function longestStall({ home }: BenchDaemon): number {
  const log = readFileSync(join(home, 'volantd.log'), 'utf8');
  return Math.max(0, ...[...log.matchAll(/"longestMs":(\d+)/g)].map(([, ms]) => Number(ms)));
}

function describe(answers: readonly BurstAnswer[], connections: number): void {
  const done = answers.filter(({ status }) => status === 201);
  const doneMs = Math.max(0, ...done.map(({ answeredMs }) => answeredMs));
  const refused = answers.filter(({ retryAfterSeconds }) => retryAfterSeconds !== null);
  const told = refused.map((answer) => answer.retryAfterSeconds ?? 0);
  // How long the line still took when each of them was sent away.
  const real = refused.map(({ answeredMs }) => (doneMs - answeredMs) / 1000);
  const lines = [
    `${connections} connections: ${JSON.stringify(countAnswers(answers))}, all done after ${(doneMs / 1000).toFixed(1)} s`,
    ...(refused.length === 0
      ? []
      : [`told to come back after ${range(told)} s; the line was done after ${range(real)} s`]),
  ];
  process.stderr.write(`${lines.join('\n')}\n`);
}

function range(values: readonly number[]): string {
  const at = (share: number) => quantile(values, share).toFixed(0);
  return `${at(0)} to ${at(1)} (median ${at(0.5)})`;
}
