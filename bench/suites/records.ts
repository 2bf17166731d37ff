// bench: many records. A daemon with 100,000 stopped VMs, against one with 100, and against what it may cost at all.

import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { dataFileOf } from '../../src/store/env.ts';
import { RawClient } from '../lib/burst.ts';
import { type BenchDaemon, startDaemon } from '../lib/daemon.ts';
import { startProbe } from '../lib/probe.ts';
import { makeRecords, removeRecords, SETTINGS_FOR_RECORDS } from '../lib/records.ts';
import { type Row, row } from '../lib/row.ts';

const MANY = 100_000;
const FEW = 100;
const MIB = 1024 ** 2;
/** The main thread may be held up for so long. */
const STALL_MS = 20;
const FIRST_ANSWER_MS = 1_000;
const IDLE_TIMEOUT_MS = 60_000;
/** On every page of every query, with few records as with many: what differs is what there is beside them. */
const PAGE = 10;

export async function benchRecords(quick: boolean): Promise<Row[]> {
  const few = await startWith(FEW);
  const many = await startWith(MANY);
  try {
    await untilIdle(many);
    const rounds = quick ? 5 : 15;
    return [
      row('100,000 records: first list', 'ms', many.startMs.listed, FIRST_ANSWER_MS, 'a second', {
        atMost: 1,
      }),
      memoryRow(many),
      await compared('GET one VM', (turn) => `/api/v1/vms/vm-${1 + (turn % FEW)}`),
      await compared('page by name', (turn) => page(`sort=name&offset=${turn % 90}`)),
      await compared('page by change', (turn) => page(`sort=updated_at&offset=${turn % 90}`)),
      await compared('page of a status', (turn) => page(`status=stopped&offset=${turn % 90}`)),
      await compared('page with q', (turn) => page(`q=vm-${1 + (turn % 9)}`)),
      await stallRow(many),
    ];

    async function compared(what: string, pathOf: (turn: number) => string): Promise<Row> {
      const [ours, bound] = await inTurns([many, few], rounds, pathOf);
      const aim = { atLeast: what === 'GET one VM' ? 0.95 : 0.8 };
      const name = `100,000 records: ${what}, uncached`;
      return row(name, 'answers/s', ours ?? [], bound ?? [], 'of 100 records', aim);
    }
  } finally {
    await many.stop();
    await few.stop();
  }
}

function startWith(count: number): Promise<BenchDaemon> {
  const stateIn = (home: string) => join(home, 'state');
  return startDaemon(
    { ...SETTINGS_FOR_RECORDS, VOLANT_HYPERVISOR: 'simulator', VOLANT_LOG_LEVEL: 'warn' },
    {
      prepare: (home) => makeRecords(stateIn(home), count),
      clear: (home) => removeRecords(stateIn(home)),
    },
  );
}

/** What goes on after a start, such as indexing, is over, and so is the process that reads all records. */
async function untilIdle({ pid }: BenchDaemon): Promise<void> {
  const deadline = performance.now() + IDLE_TIMEOUT_MS;
  const thread = `/proc/${pid}/task/${pid}`;
  const usedMs = () => Number(readFileSync(`${thread}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
  for (;;) {
    const before = usedMs();
    await pause(500);
    const isIdle = usedMs() - before < 20 && readFileSync(`${thread}/children`, 'utf8') === '';
    if (isIdle) return;
    if (performance.now() > deadline) throw new Error('the daemon does not come to rest');
  }
}

const page = (query: string) => `/api/v1/vms?limit=${PAGE}&${query}`;

/** Answers a second that one client gets of each daemon, by rounds; they take turns, so that a busy machine slows both. */
async function inTurns(
  daemons: readonly BenchDaemon[],
  rounds: number,
  pathOf: (turn: number) => string,
): Promise<readonly (readonly number[])[]> {
  const clients = daemons.map(({ port }) => new RawClient(port));
  const rates: number[][] = daemons.map(() => []);
  // The first round is for warming up.
  for (let round = -1; round < rounds; round += 1) {
    for (const [index, client] of clients.entries()) {
      const startedMs = performance.now();
      for (let turn = 0; turn < 300; turn += 1) {
        const { status } = await client.ask({ method: 'GET', path: pathOf(turn) });
        if (status !== 200) throw new Error(`${pathOf(turn)}: ${status}`);
      }
      if (round >= 0) rates[index]?.push(300_000 / (performance.now() - startedMs));
    }
  }
  for (const client of clients) client.close();
  return rates;
}

function memoryRow({ pid, home }: BenchDaemon): Row {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const residentMib = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
  const fileMib = statSync(dataFileOf(join(home, 'state'))).size / MIB;
  return row('100,000 records: memory', 'MiB', residentMib, fileMib, 'the file of the records', {
    atMost: 1.3,
  });
}

/** How long another client waits while somebody reads all VMs. */
async function stallRow(daemon: BenchDaemon): Promise<Row> {
  const probe = startProbe(daemon.port, '/api/v1/vms/vm-7');
  await probe.samples();
  await daemon.call('GET', '/api/v1/vms');
  const longestMs = Math.max(...(await probe.samples()));
  probe.end();
  return row(
    '100,000 records: longest wait beside a whole list',
    'ms',
    longestMs,
    STALL_MS,
    '20 ms',
    {
      atMost: 1,
    },
  );
}
