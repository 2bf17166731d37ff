// bench: reads. One VM and a list of 100, against the bare HTTP server with answers of the same size: how many a second,
// and how much processor time each takes.

import { startBare } from '../lib/bare.ts';
import { type BenchDaemon, createVms, SIMULATED, startDaemon } from '../lib/daemon.ts';
import { exactCpuSecondsOf } from '../lib/machine.ts';
import { putLoad } from '../lib/programs.ts';
import { inRounds, inTurn, type Pair } from '../lib/rounds.ts';
import type { Row } from '../lib/row.ts';

const VMS = 100;
const CONNECTIONS = 64;
/** Server and generator have a processor each. */
const SERVER_PROCESSOR = 0;
const GENERATOR_PROCESSOR = 1;

const BARE = 'bare uWebSockets.js, a constant of the same size';

const READS = [
  { what: 'GET one VM', path: '/api/v1/vms/vm-7', rate: 0.9, cpu: 1.15 },
  { what: 'GET a list of 100', path: '/api/v1/vms?limit=100', rate: 1.4, cpu: 0.75 },
] as const;

export async function benchReads(quick: boolean): Promise<Row[]> {
  const daemon = await startDaemon(SIMULATED);
  try {
    await createVms(daemon, VMS, 16, 'vm');
    daemon.pinMainThread(SERVER_PROCESSOR);
    const rows: Row[] = [];
    for (const read of READS) rows.push(...(await measure(daemon, read, quick)));
    return rows;
  } finally {
    await daemon.stop();
  }
}

async function measure(
  daemon: BenchDaemon,
  { what, path, rate, cpu }: (typeof READS)[number],
  quick: boolean,
): Promise<Row[]> {
  const seconds = quick ? 0.8 : 3;
  const bare = await startBare((await daemon.expect(200, 'GET', path)).length, SERVER_PROCESSOR);
  try {
    // Both are compiled by the time that counts.
    await side(daemon, path, 0.5);
    await side(bare, '/', 0.5);
    const rounds = await inRounds(quick ? 5 : 9, async (index) => {
      const [ours, bound] = await inTurn(
        index,
        () => side(daemon, path, seconds),
        () => side(bare, '/', seconds),
      );
      const pairOf = (name: keyof typeof ours): Pair => ({ ours: ours[name], bound: bound[name] });
      return { rate: pairOf('rate'), cpu: pairOf('cpu') };
    });
    return [
      rounds.row('rate', what, 'requests/s', BARE, { atLeast: rate }),
      rounds.row('cpu', `${what}: processor time`, 'us/request', BARE, { atMost: cpu }),
    ];
  } finally {
    await bare.stop();
  }
}

async function side(
  server: { readonly port: number; readonly pid: number },
  path: string,
  seconds: number,
) {
  const before = exactCpuSecondsOf(server.pid);
  const { requests, perSecond, generator } = await putLoad({
    port: server.port,
    path,
    connections: CONNECTIONS,
    seconds,
    processor: GENERATOR_PROCESSOR,
  });
  const cpuSeconds = exactCpuSecondsOf(server.pid) - before;
  return {
    rate: { value: perSecond, generator },
    cpu: { value: (cpuSeconds * 1e6) / requests, generator },
  };
}
