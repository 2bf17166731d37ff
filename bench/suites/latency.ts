// bench: how long readers wait. Requests are sent by a plan that does not wait for answers, and each one's time runs from
// the moment that the plan gave it: a stall is charged to all that would have been sent meanwhile.

import { startBare } from '../lib/bare.ts';
import { type BenchDaemon, createVms, inParallel, SIMULATED, startDaemon } from '../lib/daemon.ts';
import { settle } from '../lib/machine.ts';
import { type LoadResult, putLoad } from '../lib/programs.ts';
import { type Figure, inRounds, inTurn } from '../lib/rounds.ts';
import type { Row } from '../lib/row.ts';

const READ_PATH = '/api/v1/vms/vm-0';
const CONNECTIONS = 64;
const READS_PER_SECOND = 1_000;
const CREATES_PER_SECOND = 100;
/** About a fifth of what one processor can answer. */
const STEADY_PER_SECOND = 20_000;
/** With fewer creates than were planned the readers had it easy. */
const CREATES_SHARE_MIN = 0.9;
/** What the daemon promises of its main thread. */
const STALL_MS = 100;

export async function benchLatency(quick: boolean): Promise<Row[]> {
  const daemon = await startDaemon(SIMULATED, { watchesLoop: true });
  try {
    await createVms(daemon, 1, 1, 'vm');
    return [...(await whileCreatesRun(daemon, quick)), await steady(daemon, quick)];
  } finally {
    await daemon.stop();
  }
}

async function whileCreatesRun(daemon: BenchDaemon, quick: boolean): Promise<Row[]> {
  const seconds = quick ? 1 : 4;
  await read(daemon, seconds);
  const rounds = await inRounds(quick ? 5 : 9, async (index) => {
    const [busy, idle] = await inTurn(
      index,
      () => readAndCreate(daemon, seconds),
      () => readIdle(daemon, seconds),
    );
    return {
      wait: { ours: busy.wait, bound: idle.wait },
      delay: { ours: busy.delay, bound: idle.delay },
      longest: { ours: busy.longest, bound: { value: STALL_MS } },
    };
  });
  const during = `while ${CREATES_PER_SECOND} creates/s run`;
  const idle = 'the same on an idle daemon';
  return [
    rounds.row('wait', `GET p99 ${during}, open loop`, 'ms', idle, { atMost: 2 }),
    rounds.row('delay', `event loop: p99 of its delay ${during}`, 'ms', idle, { atMost: 10 }),
    rounds.row('longest', `event loop: longest delay ${during}`, 'ms', 'what is promised', {
      atMost: 0.12,
    }),
  ];
}

async function readIdle(daemon: BenchDaemon, seconds: number) {
  await settle();
  await daemon.loopDelay();
  const result = await read(daemon, seconds);
  return figuresOf(result, await daemon.loopDelay(), null);
}

async function readAndCreate(daemon: BenchDaemon, seconds: number) {
  await settle();
  await daemon.loopDelay();
  const creating = createByPlan(daemon, seconds);
  const result = await read(daemon, seconds);
  const delay = await daemon.loopDelay();
  const { sent, inTime } = await creating;
  await inParallel(sent, 32, async (index) => {
    await daemon.expect(204, 'DELETE', `/api/v1/vms/busy-${index}`);
  });
  const rate = inTime / seconds;
  const refusal =
    rate < CREATES_PER_SECOND * CREATES_SHARE_MIN
      ? `only ${rate.toFixed(0)} creates/s ran beside it, not ${CREATES_PER_SECOND}`
      : null;
  return figuresOf(result, delay, refusal);
}

function figuresOf(
  { p99Ms, generator }: LoadResult,
  delay: { readonly p99Ms: number; readonly maxMs: number },
  refusal: string | null,
): Record<'wait' | 'delay' | 'longest', Figure> {
  return {
    wait: { value: p99Ms, generator, refusal },
    delay: { value: delay.p99Ms, refusal },
    longest: { value: delay.maxMs, refusal },
  };
}

function read(daemon: BenchDaemon, seconds: number): Promise<LoadResult> {
  const { port } = daemon;
  return putLoad({
    port,
    path: READ_PATH,
    connections: CONNECTIONS,
    seconds,
    rate: READS_PER_SECOND,
  });
}

/** Resolves when all are answered, with how many there are and how many of them were answered within the time. */
async function createByPlan(
  daemon: BenchDaemon,
  seconds: number,
): Promise<{ readonly sent: number; readonly inTime: number }> {
  const startedMs = performance.now();
  const untilMs = startedMs + seconds * 1000;
  const creates: Promise<string>[] = [];
  let inTime = 0;
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const nowMs = performance.now();
      const due = ((Math.min(nowMs, untilMs) - startedMs) * CREATES_PER_SECOND) / 1000;
      while (creates.length < due) creates.push(createOne(creates.length));
      if (nowMs < untilMs) return;
      clearInterval(timer);
      resolve();
    }, 2);
  });
  async function createOne(index: number): Promise<string> {
    const body = { name: `busy-${index}`, plugin: 'hello' };
    const text = await daemon.expect(201, 'POST', '/api/v1/vms', body);
    if (performance.now() < untilMs) inTime += 1;
    return text;
  }
  await Promise.all(creates);
  return { sent: creates.length, inTime };
}

/** A load that is well below what either can do: what a request takes by itself. */
async function steady(daemon: BenchDaemon, quick: boolean): Promise<Row> {
  const seconds = quick ? 0.8 : 3;
  const bytes = (await daemon.expect(200, 'GET', READ_PATH)).length;
  const bare = await startBare(bytes, 0);
  daemon.pinMainThread(0);
  const side = async (port: number, path: string): Promise<Figure> => {
    const options = { port, path, connections: CONNECTIONS, seconds, rate: STEADY_PER_SECOND };
    const { p99Ms, generator } = await putLoad({ ...options, processor: 1 });
    return { value: p99Ms, generator };
  };
  try {
    const rounds = await inRounds(quick ? 5 : 9, async (index) => {
      const [ours, bound] = await inTurn(
        index,
        () => side(daemon.port, READ_PATH),
        () => side(bare.port, '/'),
      );
      return { steady: { ours, bound } };
    });
    const what = `GET p99 at ${STEADY_PER_SECOND}/s, open loop`;
    return rounds.row('steady', what, 'ms', 'bare uWebSockets.js at the same rate', {
      atMost: 1.25,
    });
  } finally {
    await bare.stop();
  }
}
