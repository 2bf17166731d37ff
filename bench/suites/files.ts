// bench: one large file into a real guest and out of it, against the same bytes on the channel of its agent by hand: what it
// gets is discarded there, and what it sends are holes.

import { request } from 'node:http';
import { agentByHand, writeZeros } from '../lib/agent-by-hand.ts';
import { type BenchDaemon, startDaemon } from '../lib/daemon.ts';
import { createGuest, untilAgentAnswers } from '../lib/guest.ts';
import { type Figure, inRounds, inTurn } from '../lib/rounds.ts';
import type { Row } from '../lib/row.ts';

const MEBIBYTE = 2 ** 20;
const FULL_BYTES = 100 * MEBIBYTE;
const QUICK_BYTES = 25 * MEBIBYTE;
/** In the memory of the guest, half of which such files may have. */
const FILE = '/dev/shm/data';
const HOLES = '/dev/shm/holes';
const GUEST_MB = 512;

interface Rates {
  readonly write: Figure;
  readonly read: Figure;
}

export async function benchFiles(quick: boolean): Promise<Row[]> {
  const daemon = await startDaemon({ VOLANT_LOG_LEVEL: 'warn' });
  const bytes = quick ? QUICK_BYTES : FULL_BYTES;
  try {
    await createGuest(daemon, GUEST_MB);
    const command = `dd if=/dev/null of=${HOLES} bs=${MEBIBYTE} seek=${bytes / MEBIBYTE}`;
    await daemon.expect(200, 'POST', '/api/v1/vms/guest/exec?wait=exit', { command });
    const rounds = await inRounds(quick ? 2 : 5, async (index) => {
      const [ours, bound] = await inTurn(
        index,
        () => byDaemon(daemon, bytes),
        () => byHand(daemon, bytes),
      );
      return {
        write: { ours: ours.write, bound: bound.write },
        read: { ours: ours.read, bound: bound.read },
      };
    });
    const channel = "the same bytes on its agent's channel by hand";
    return [
      rounds.row('write', 'PUT a large file to a real guest', 'MiB/s', `${channel}, discarded`, {
        atLeast: 0.6,
      }),
      rounds.row('read', 'GET a large file of a real guest', 'MiB/s', `${channel}, of holes`, {
        atLeast: 0.55,
      }),
    ];
  } finally {
    await daemon.stop();
  }
}

async function byDaemon(daemon: BenchDaemon, bytes: number): Promise<Rates> {
  const write = await rateOf(bytes, () => transfer(daemon, 'PUT', bytes, 0));
  const read = await rateOf(bytes, () => transfer(daemon, 'GET', 0, bytes));
  return { write, read };
}

/** The daemon ends meanwhile; its guest goes on. */
async function byHand(daemon: BenchDaemon, bytes: number): Promise<Rates> {
  await daemon.kill();
  const agent = await agentByHand(daemon.home);
  try {
    // What this process takes belongs to the bound.
    const { value: write } = await rateOf(bytes, () => agent.discard(bytes));
    const { value: read } = await rateOf(bytes, () => agent.read(HOLES, bytes));
    return { write: { value: write }, read: { value: read } };
  } finally {
    agent.close();
    await daemon.startAgain();
    await untilAgentAnswers(daemon);
  }
}

/** MiB a second, and what this process took of a processor. */
async function rateOf(bytes: number, work: () => Promise<void>): Promise<Figure> {
  const startedMs = performance.now();
  const before = process.cpuUsage();
  await work();
  const seconds = (performance.now() - startedMs) / 1000;
  const { user, system } = process.cpuUsage(before);
  return { value: bytes / MEBIBYTE / seconds, generator: (user + system) / 1e6 / seconds };
}

function transfer(
  { port }: BenchDaemon,
  method: string,
  sentBytes: number,
  wantedBytes: number,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const path = `/api/v1/vms/guest/files${FILE}`;
    const headers = { 'Content-Length': sentBytes };
    const outgoing = request({ host: '127.0.0.1', port, method, path, headers }, (answer) => {
      let bytes = 0;
      answer.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      answer.on('error', reject);
      answer.on('end', () => {
        const isDone =
          (answer.statusCode ?? 0) < 300 && (wantedBytes === 0 || bytes === wantedBytes);
        if (isDone) resolve();
        else reject(new Error(`${method} answered ${answer.statusCode} with ${bytes} bytes`));
      });
    });
    outgoing.on('error', reject);
    writeZeros(outgoing, sentBytes).then(() => outgoing.end(), reject);
  });
}
