// bench: creates and deletes with the simulator: tap, process and durable commits included, against a
// C loop that makes the same processes and taps and keeps nothing, and against a daemon that does not isolate them.

import { execFileSync } from 'node:child_process';
import { type BenchDaemon, createVms, deleteVms, SIMULATED, startDaemon } from '../lib/daemon.ts';
import { cpuSecondsOf, settle } from '../lib/machine.ts';
import { type Figure, inRounds, inTurn } from '../lib/rounds.ts';
import type { Row } from '../lib/row.ts';
import { runSpawnLoop } from '../lib/spawn-loop.ts';
import { median } from '../lib/statistics.ts';

const WIDTH = 32;
/** Beside the other one it needs a network of its own. */
const PLAIN = {
  VOLANT_ISOLATION: 'off',
  VOLANT_BRIDGE: 'vbr1',
  VOLANT_SUBNET: '10.89.0.0/16',
  VOLANT_HOST_IP: '10.89.0.1',
};
const LOOP = 'a C loop: tap, process, socket';

export async function benchCreates(quick: boolean): Promise<Row[]> {
  const count = quick ? 150 : 400;
  const daemon = await startDaemon(SIMULATED, { runsInMemory: true });
  const plainDaemon = await startDaemon({ ...SIMULATED, ...PLAIN }, { runsInMemory: true });
  try {
    // Once before anything is counted: bridge, threads and code are warm.
    await Promise.all([batch(daemon, 40), batch(plainDaemon, 40)]);
    await runSpawnLoop(40);
    const rounds = await inRounds(quick ? 5 : 9, async (index) => {
      const [[ours, plain], loop] = await inTurn(
        index,
        () =>
          inTurn(
            index >> 1,
            () => batch(daemon, count),
            () => batch(plainDaemon, count),
          ),
        () => runSpawnLoop(count),
      );
      return {
        create: { ours: ours.creates, bound: { value: loop.rate } },
        plain: { ours: ours.creates, bound: plain.creates },
        delete: { ours: ours.deletes, bound: ours.creates },
        cpu: { ours: ours.cpu, bound: { value: loop.cpuMicroseconds } },
      };
    });
    return [
      rounds.row('create', 'create to 201, simulated', 'VMs/s', LOOP, { atLeast: 0.6 }),
      rounds.row('plain', 'create, isolated', 'VMs/s', 'the same, not isolated', { atLeast: 0.9 }),
      rounds.row('delete', 'delete to 204, simulated', 'VMs/s', 'our creates', { atLeast: 1.5 }),
      rounds.row('cpu', 'create: processor time of the daemon', 'us/VM', LOOP, { atMost: 10 }),
      await oneDelete(daemon, quick),
    ];
  } finally {
    await daemon.stop();
    await plainDaemon.stop();
  }
}

/** The daemon alone on one processor, with all that it starts, as on the smallest of hosts. */
export async function benchOneProcessor(quick: boolean): Promise<Row[]> {
  const count = quick ? 60 : 200;
  const width = 8;
  const daemon = await startDaemon(SIMULATED, { processors: '0', runsInMemory: true });
  try {
    await batch(daemon, 40, width);
    await runSpawnLoop(40, '0');
    const rounds = await inRounds(quick ? 5 : 9, async (index) => {
      const [ours, loop] = await inTurn(
        index,
        () => batch(daemon, count, width),
        () => runSpawnLoop(count, '0'),
      );
      return {
        create: { ours: ours.creates, bound: { value: loop.rate } },
        delete: { ours: ours.deletes, bound: ours.creates },
      };
    });
    const on = 'on one processor, 8 at a time';
    return [
      rounds.row('create', `create ${on}`, 'VMs/s', `${LOOP}, on one processor`, { atLeast: 0.15 }),
      rounds.row('delete', `delete ${on}`, 'VMs/s', 'our creates', { atLeast: 1 }),
    ];
  } finally {
    await daemon.stop();
  }
}

let batches = 0;

/** So many created and deleted again. */
async function batch(
  daemon: BenchDaemon,
  count: number,
  width: number = WIDTH,
): Promise<Record<'creates' | 'deletes' | 'cpu', Figure>> {
  batches += 1;
  const prefix = `r${batches}`;
  await settle();
  const generatorBefore = process.cpuUsage();
  const startedMs = performance.now();
  const cpuBefore = cpuSecondsOf(daemon.pid);
  const creates = await createVms(daemon, count, width, prefix);
  const cpuSeconds = cpuSecondsOf(daemon.pid) - cpuBefore;
  const deletes = await deleteVms(daemon, count, width, prefix);
  const spent = process.cpuUsage(generatorBefore);
  const generator = (spent.user + spent.system) / 1000 / (performance.now() - startedMs);
  return {
    creates: { value: creates, generator },
    deletes: { value: deletes, generator },
    cpu: { value: (cpuSeconds * 1e6) / count },
  };
}

/** What one client waits for one VM to go, when nothing else is done. */
async function oneDelete(daemon: BenchDaemon, quick: boolean): Promise<Row> {
  const times = quick ? 5 : 11;
  const milliseconds = async (work: () => Promise<unknown>): Promise<number> => {
    const startedMs = performance.now();
    await work();
    return performance.now() - startedMs;
  };
  const ours = async (index: number) => {
    const name = `alone-${index}`;
    await daemon.expect(201, 'POST', '/api/v1/vms', { name, plugin: 'hello' });
    await settle();
    return milliseconds(() => daemon.expect(204, 'DELETE', `/api/v1/vms/${name}`));
  };
  const byHand = async () => {
    const ip = (command: string) => execFileSync('ip', command.split(' '), { stdio: 'ignore' });
    ip('tuntap add dev by-hand mode tap vnet_hdr');
    ip('link set by-hand master vbr0 up');
    await settle();
    return milliseconds(async () => ip('link delete by-hand'));
  };
  const rounds = await inRounds(quick ? 5 : 9, async (round) => {
    const all: (readonly [number, number])[] = [];
    for (let index = 0; index < times; index += 1) {
      all.push(await inTurn(round + index, () => ours(round * times + index), byHand));
    }
    return {
      delete: {
        ours: { value: median(all.map(([time]) => time)) },
        bound: { value: median(all.map(([, time]) => time)) },
      },
    };
  });
  const bound = '`ip link delete` of a tap by hand';
  return rounds.row('delete', 'one delete alone, simulated', 'ms', bound, { atMost: 0.4 });
}
