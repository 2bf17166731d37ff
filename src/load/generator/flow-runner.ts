// load, generator: carries out one flow: its steps one after the other, each measured from the moment at which it was due.

import { setImmediate as turn } from 'node:timers/promises';
import type { VolantClient } from '../../client/client.ts';
import { choose, randomOf } from '../arrivals/random.ts';
import { type OperationOutcome, outcomeOf, SUCCEEDED } from '../measure/outcomes.ts';
import { namePrefixOf } from '../owned/labels.ts';
import { deploymentNeed, type Flow, type Need, type Step, vmNeed } from '../scenario/scenario.ts';
import { monotonicMs } from './clock.ts';
import { type Lease, Pool } from './pool.ts';
import type { GeneratorOrder } from './protocol.ts';
import type { RawFile } from './raw-file.ts';
import type { Recorder, Subject } from './recorder.ts';
import { type FlowState, runStep } from './step-actions.ts';

/** One turn of the load: what is due, and when. */
export interface Turn {
  readonly phase: number;
  /** Of the start or user in its phase, and for a user of its turn. */
  readonly numbers: readonly number[];
  /** Since the start of the round. */
  readonly dueMs: number;
}

const OPEN_NAME = 'n';
const CLOSED_NAMES = ['u', 't'];

export interface FlowRunnerParts {
  readonly order: GeneratorOrder;
  readonly client: VolantClient;
  readonly recorder: Recorder;
  readonly raw: RawFile | null;
  /** Added to the times of raw lines. */
  readonly sinceRunMs: number;
  /** Cancels what runs. */
  readonly signal: AbortSignal;
  /** Start of the round on the monotonic clock. */
  readonly beginMs: number;
}

export class FlowRunner {
  readonly #parts: FlowRunnerParts;
  readonly #vms: Pool;
  readonly #deployments: Pool;
  inFlight = 0;

  constructor(parts: FlowRunnerParts) {
    this.#parts = parts;
    this.#vms = new Pool(parts.order.vms);
    this.#deployments = new Pool(parts.order.deployments);
  }

  /** Since the start of the round. */
  runMs(): number {
    return monotonicMs() - this.#parts.beginMs;
  }

  /** Which flow it is follows from the seed alone. */
  flowOf({ phase, numbers }: Turn): { flow: Flow; random: () => number } | undefined {
    const { seed, scenario } = this.#parts.order;
    const random = randomOf(seed, phase, ...numbers);
    const flow = choose(scenario.flows, random);
    return flow === undefined ? undefined : { flow, random };
  }

  recordSkipped(due: Turn, flow: Flow, reason: string): void {
    this.#parts.recorder.skipped(subjectOf(due.phase, flow), due.dueMs, this.runMs(), reason);
  }

  /** Resolves when the flow has ended; false: it was skipped. Never rejects. */
  async run(due: Turn): Promise<boolean> {
    const chosen = this.flowOf(due);
    if (chosen === undefined) return false;
    const { flow, random } = chosen;
    const leases = this.#lease(flow, random);
    if (leases === undefined) {
      this.recordSkipped(due, flow, 'NOTHING_FREE');
      return false;
    }
    const [vm, deployment] = leases;
    const { client, order } = this.#parts;
    const id = idOf(due);
    let made = 0;
    const state: FlowState = {
      client,
      scenario: order.scenario,
      owner: order.owner,
      random,
      newName: () => {
        made += 1;
        const ofRound = order.round === 0 ? '' : `r${order.round}`;
        return `${namePrefixOf(order.owner.label)}${ofRound}${id}${made === 1 ? '' : `c${made}`}`;
      },
      vm: vm?.name,
      deployment: deployment?.name,
    };
    this.inFlight += 1;
    try {
      await this.#runSteps(due, flow, state, id);
    } finally {
      this.inFlight -= 1;
      vm?.release();
      deployment?.release();
    }
    // A flow that needed no answer must not keep the event loop for itself.
    await turn();
    return true;
  }

  async #runSteps(due: Turn, flow: Flow, state: FlowState, id: string): Promise<void> {
    const startMs = this.runMs();
    let dueMs = due.dueMs;
    let outcome: OperationOutcome = SUCCEEDED;
    for (const step of flow.steps) {
      outcome = await this.#runStep(due.phase, step, state, dueMs, id);
      dueMs = this.runMs();
      if (outcome.kind !== 'succeeded') break;
    }
    const isFlow = subjectOf(due.phase, flow).kind === 'flow';
    if (isFlow) this.#record(subjectOf(due.phase, flow), due.dueMs, startMs, outcome, id);
  }

  async #runStep(
    phase: number,
    step: Step,
    state: FlowState,
    dueMs: number,
    id: string,
  ): Promise<OperationOutcome> {
    const { recorder, signal } = this.#parts;
    const startMs = this.runMs();
    if (step.do !== 'pause') recorder.stepStarts(startMs);
    const outcome = await runStep(state, step, signal).then(() => SUCCEEDED, outcomeOf);
    // A pause is no work of the daemon.
    if (step.do !== 'pause') {
      this.#record({ phase, kind: 'step', name: step.name }, dueMs, startMs, outcome, id);
    }
    return outcome;
  }

  #record(
    subject: Subject,
    dueMs: number,
    startMs: number,
    outcome: OperationOutcome,
    id: string,
  ): void {
    const { recorder, raw, order, sinceRunMs } = this.#parts;
    const endMs = this.runMs();
    recorder.ended(subject, dueMs, endMs, outcome);
    raw?.write({
      phase: order.scenario.phases[subject.phase]?.name ?? '',
      kind: subject.kind,
      operation: subject.name,
      flow: id,
      intendedMs: sinceRunMs + dueMs,
      startMs: sinceRunMs + startMs,
      endMs: sinceRunMs + endMs,
      outcome: outcome.kind,
      code: outcome.kind === 'succeeded' ? '' : outcome.code,
    });
  }

  /** undefined: one of those that it needs is not free. */
  #lease(flow: Flow, random: () => number): [Lease | undefined, Lease | undefined] | undefined {
    const take = (pool: Pool, need: Need) =>
      need === 'none' ? undefined : (pool.lease(need, random) ?? null);
    const vm = take(this.#vms, vmNeed(flow));
    if (vm === null) return undefined;
    const deployment = take(this.#deployments, deploymentNeed(flow));
    if (deployment !== null) return [vm, deployment];
    vm?.release();
    return undefined;
  }
}

function subjectOf(phase: number, { name, steps }: Flow): Subject {
  const [only] = steps;
  const isStep = steps.length === 1 && only?.name === name;
  return { phase, kind: isStep ? 'step' : 'flow', name };
}

/** A part of a name that no other flow of the run has: `p1n15`, `p2u3t7`. */
function idOf({ phase, numbers }: Turn): string {
  const words = numbers.length === 1 ? [OPEN_NAME] : CLOSED_NAMES;
  return `p${phase + 1}${numbers.map((number, at) => `${words[at] ?? ''}${number}`).join('')}`;
}
