// bench: creates and deletes with the simulator: tap, process and durable commits included, against a
// C loop that makes the same processes and taps and keeps nothing, and against a daemon that does not isolate them.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BenchDaemon, inParallel, ROOT, startDaemon } from '../lib/daemon.ts';
import { type Row, row } from '../lib/row.ts';
import { median } from '../lib/statistics.ts';

const WIDTH = 32;
const BRIDGE = 'vbr-loop';
const SIMULATED = { VOLANT_HYPERVISOR: 'simulator', VOLANT_LOG_LEVEL: 'warn' };
/** Beside the other one it needs a network of its own. */
const PLAIN = {
  VOLANT_ISOLATION: 'off',
  VOLANT_BRIDGE: 'vbr1',
  VOLANT_SUBNET: '10.89.0.0/16',
  VOLANT_HOST_IP: '10.89.0.1',
};

interface Rates {
  readonly creates: number;
  readonly deletes: number;
}

export async function benchCreates(quick: boolean): Promise<Row[]> {
  const rounds = quick ? 3 : 7;
  const count = quick ? 200 : 400;
  const loop = compileLoop();
  const daemon = await startDaemon(SIMULATED);
  const plainDaemon = await startDaemon({ ...SIMULATED, ...PLAIN });
  try {
    // Once before anything is counted: bridge, threads and code are warm.
    await measureDaemon(daemon, 40, 'warm');
    await measureDaemon(plainDaemon, 40, 'warm');
    const ours: Rates[] = [];
    const plain: number[] = [];
    const bound: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      ours.push(await measureDaemon(daemon, count, `r${round}`));
      plain.push((await measureDaemon(plainDaemon, count, `r${round}`)).creates);
      bound.push(measureLoop(loop, count));
    }
    const creates = median(ours.map((rates) => rates.creates));
    const deletes = median(ours.map((rates) => rates.deletes));
    return [
      row(
        'create to 201, simulated',
        'VMs/s',
        creates,
        median(bound),
        'a C loop: tap, process, socket',
        {
          atLeast: 0.6,
        },
      ),
      row('create, isolated', 'VMs/s', creates, median(plain), 'the same, not isolated', {
        atLeast: 0.95,
      }),
      row('delete to 204, simulated', 'VMs/s', deletes, creates, 'our creates', { atLeast: 1 }),
    ];
  } finally {
    await daemon.stop();
    await plainDaemon.stop();
    rmSync(loop, { force: true });
  }
}

async function measureDaemon(daemon: BenchDaemon, count: number, prefix: string): Promise<Rates> {
  const expect = async (wanted: number, method: string, path: string, body?: object) => {
    const { status, text } = await daemon.call(method, path, body);
    if (status !== wanted) throw new Error(`${method} ${path} answered ${status}: ${text}`);
  };
  const startedMs = performance.now();
  await inParallel(count, WIDTH, (index) =>
    expect(201, 'POST', '/api/v1/vms', { name: `${prefix}-${index}`, plugin: 'hello' }),
  );
  const createdMs = performance.now();
  await inParallel(count, WIDTH, (index) =>
    expect(204, 'DELETE', `/api/v1/vms/${prefix}-${index}`),
  );
  const deletedMs = performance.now();
  const rate = (fromMs: number, toMs: number) => (count * 1000) / (toMs - fromMs);
  return { creates: rate(startedMs, createdMs), deletes: rate(createdMs, deletedMs) };
}

function compileLoop(): string {
  const program = join(tmpdir(), `volant-spawn-loop-${process.pid}`);
  execFileSync('gcc', [
    '-O2',
    '-Wall',
    '-Wno-format-truncation',
    '-o',
    program,
    join(ROOT, 'bench/spawn-loop.c'),
  ]);
  return program;
}

function measureLoop(program: string, count: number): number {
  const directory = mkdtempSync(join(tmpdir(), 'volant-loop-'));
  const ip = (...args: string[]) => execFileSync('ip', args, { stdio: 'ignore' });
  ip('link', 'add', BRIDGE, 'type', 'bridge');
  ip('link', 'set', BRIDGE, 'up');
  try {
    const simulator = join(ROOT, 'build/simulator/simulator');
    const args = [simulator, directory, BRIDGE, String(count)];
    return count / Number(execFileSync(program, args, { encoding: 'utf8' }));
  } finally {
    // Taps go together: one by one each would wait for the kernel.
    for (let index = 0; index < count; index += 1)
      ip('link', 'set', `loop-${index}`, 'group', '77');
    ip('link', 'delete', 'group', '77');
    ip('link', 'delete', BRIDGE);
    rmSync(directory, { recursive: true, force: true });
  }
}
