// bench: events to a thousand readers of event streams, against the bare HTTP server that writes the same bytes to the
// same number of readers, one corked write for each event and reader.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { get } from 'node:http';
import { createInterface } from 'node:readline';
import { startBare } from '../lib/bare.ts';
import { type BenchDaemon, createVms, inParallel, SIMULATED, startDaemon } from '../lib/daemon.ts';
import { compile } from '../lib/programs.ts';
import { type Figure, inRounds, inTurn } from '../lib/rounds.ts';
import type { Row } from '../lib/row.ts';

const READERS = 1_000;
const EVENTS = 100;
const STREAM = '/api/v1/events?type=CONFIG_CHANGED';

export async function benchEvents(quick: boolean): Promise<Row[]> {
  const daemon = await startDaemon(SIMULATED);
  const bare = await startBare(10, 0);
  let changes = 0;
  /** Each change of a config is one durable event. */
  const change = (count: number) => {
    changes += 1;
    return inParallel(count, 64, async (index) => {
      const body = { metadata: { change: String(changes * 1_000 + index) } };
      await daemon.expect(200, 'PATCH', `/api/v1/vms/vm-${index}/config`, body);
    });
  };
  try {
    await createVms(daemon, EVENTS, 16, 'vm');
    const bytes = await frameBytes(daemon, () => change(1));
    const write = (count: number) => fetch(`http://127.0.0.1:${bare.port}/write/${count}/${bytes}`);
    const ours = (count: number) => toAll(daemon.port, STREAM, count, () => change(count));
    const bound = (count: number) => toAll(bare.port, '/stream', count, () => write(count));
    await ours(EVENTS);
    await bound(EVENTS);
    const rounds = await inRounds(quick ? 5 : 9, async (index) => {
      const [many, manyBare] = await inTurn(
        index,
        () => ours(EVENTS),
        () => bound(EVENTS),
      );
      const [one, oneBare] = await inTurn(
        index,
        () => ours(1),
        () => bound(1),
      );
      return { many: { ours: many, bound: manyBare }, one: { ours: one, bound: oneBare } };
    });
    const raw = 'corked writes of bare uWebSockets.js';
    return [
      rounds.row('many', `${EVENTS} events to ${READERS} readers`, 'events/s', raw, { atLeast: 5 }),
      rounds.row('one', `one event to ${READERS} readers`, 'events/s', raw, { atLeast: 1.4 }),
    ];
  } finally {
    await bare.stop();
    await daemon.stop();
  }
}

/** Events a second: from the moment that they are asked for until the last reader has had the last one. */
async function toAll(
  port: number,
  path: string,
  events: number,
  trigger: () => Promise<unknown>,
): Promise<Figure> {
  const args = [port, path, READERS, events].map(String);
  const child = spawn(compile('readers'), args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  try {
    if ((await lines.next()).value !== 'ready') throw new Error('The readers did not come up');
    const startedSeconds = Number(process.hrtime.bigint()) / 1e9;
    const [{ value: said }] = await Promise.all([lines.next(), trigger()]);
    const { atSeconds, cpuSeconds } = JSON.parse(said ?? '{}');
    const seconds = atSeconds - startedSeconds;
    return { value: events / seconds, generator: cpuSeconds / seconds };
  } finally {
    child.kill('SIGKILL');
    await exited;
  }
}

/** How long an event is on the stream. */
function frameBytes(daemon: BenchDaemon, trigger: () => Promise<unknown>): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = get({ host: '127.0.0.1', port: daemon.port, path: STREAM }, (answer) => {
      let text = '';
      answer.on('data', (chunk: Buffer) => {
        if (text === '') trigger().catch(reject);
        text += chunk.toString();
        const frame = /^(id: [\s\S]*?\n\n)/m.exec(text)?.[1];
        if (frame === undefined) return;
        resolve(Buffer.byteLength(frame));
        request.destroy();
      });
    });
    // Ours is the only end that it can have after an answer.
    request.on('error', reject);
  });
}
