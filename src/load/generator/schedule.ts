// load, generator: makes the starts of the open model at their times, whatever the daemon does, and lets the users of the closed
// model take their turns.

import { setImmediate as turn } from 'node:timers/promises';
import { activeTimes, arrivalsOf } from '../arrivals/plan.ts';
import { randomOf } from '../arrivals/random.ts';
import type { Phase } from '../scenario/scenario.ts';
import { sleep, sleepUntil } from './clock.ts';
import type { FlowRunner, Turn } from './flow-runner.ts';
import type { GeneratorOrder } from './protocol.ts';
import type { Recorder } from './recorder.ts';

/** A user that found nothing free looks again after this. */
const NOTHING_FREE_PAUSE_MS = 100;
/** Starts in one turn of the event loop, when many are due at once. */
const STARTS_PER_TURN_MAX = 256;

/** Pauses of users are this much shorter or longer, so that users do not act in step and wait for each other. */
const PAUSE_SPREAD = 0.1;

/** Keys of the random numbers that no flow has. */
const ARRIVALS_KEY = 0x41525249;
const PAUSES_KEY = 0x50415553;

export interface ScheduleParts {
  readonly order: GeneratorOrder;
  readonly runner: FlowRunner;
  readonly recorder: Recorder;
  /** Nothing more starts. */
  readonly stopped: AbortSignal;
  /** Start of the round on the monotonic clock. */
  readonly beginMs: number;
}

/** Resolves when the last flow of all phases has ended. */
export async function runPhases(parts: ScheduleParts): Promise<void> {
  const flows = new Set<Promise<unknown>>();
  const users: Promise<void>[] = [];
  let phaseStartMs = 0;
  for (const [index, phase] of parts.order.scenario.phases.entries()) {
    if (phase.model === 'open') await startAtTimes(parts, index, phase, phaseStartMs, flows);
    else users.push(...takeTurns(parts, index, phase, phaseStartMs));
    phaseStartMs += phase.durationMs;
    await sleepUntil(parts.beginMs + phaseStartMs, parts.stopped);
  }
  await Promise.all([...users, ...flows]);
}

/** Resolves after the last start of the phase. */
async function startAtTimes(
  parts: ScheduleParts,
  index: number,
  phase: Phase,
  phaseStartMs: number,
  flows: Set<Promise<unknown>>,
): Promise<void> {
  const { order, stopped, beginMs } = parts;
  const random = phase.kind === 'poisson' ? randomOf(order.seed, ARRIVALS_KEY, index) : undefined;
  let [number, startsInTurn] = [0, 0];
  for (const arrivalMs of arrivalsOf(phase.plan, random)) {
    const isOurs = number % order.processes === order.index;
    const due = { phase: index, numbers: [number], dueMs: phaseStartMs + arrivalMs };
    number += 1;
    if (!isOurs) continue;
    if (parts.runner.runMs() < due.dueMs) {
      startsInTurn = 0;
      await sleepUntil(beginMs + due.dueMs, stopped);
    } else if (startsInTurn >= STARTS_PER_TURN_MAX) {
      startsInTurn = 0;
      await turn();
    }
    if (stopped.aborted) return;
    startsInTurn += 1;
    startOne(parts, due, flows);
  }
}

function startOne(parts: ScheduleParts, due: Turn, flows: Set<Promise<unknown>>): void {
  const { runner, recorder, order } = parts;
  recorder.flowStarts(due.dueMs, runner.runMs());
  if (runner.inFlight >= order.maxInFlight) {
    const chosen = runner.flowOf(due);
    if (chosen !== undefined) runner.recordSkipped(due, chosen.flow, 'IN_FLIGHT');
    return;
  }
  const flow = runner.run(due).finally(() => flows.delete(flow));
  flows.add(flow);
}

function takeTurns(
  parts: ScheduleParts,
  index: number,
  phase: Phase,
  phaseStartMs: number,
): Promise<void>[] {
  const { order } = parts;
  const most = Math.max(...phase.plan.map(({ level }) => level));
  const ours = Array.from({ length: Math.ceil(most) }, (_, user) => user).filter(
    (user) => user % order.processes === order.index,
  );
  return ours.map((user) => actAsUser(parts, index, phase, phaseStartMs, user));
}

async function actAsUser(
  { order, runner, stopped, beginMs }: ScheduleParts,
  index: number,
  phase: Phase,
  phaseStartMs: number,
  user: number,
): Promise<void> {
  const random = randomOf(order.seed, PAUSES_KEY, index, user);
  let number = 0;
  for (const { fromMs, toMs } of activeTimes(phase.plan, user)) {
    await sleepUntil(beginMs + phaseStartMs + fromMs, stopped);
    const endMs = phaseStartMs + toMs;
    for (;;) {
      const dueMs = runner.runMs();
      if (stopped.aborted || dueMs >= endMs) break;
      const hasRun = await runner.run({ phase: index, numbers: [user, number], dueMs });
      number += 1;
      const meanMs = hasRun ? phase.thinkMs : Math.max(phase.thinkMs, NOTHING_FREE_PAUSE_MS);
      const pauseMs = meanMs * (1 + PAUSE_SPREAD * (2 * random() - 1));
      const leftMs = Math.max(0, endMs - runner.runMs());
      if (pauseMs > 0) await sleep(Math.min(pauseMs, leftMs), stopped);
    }
  }
}
