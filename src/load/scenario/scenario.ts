// load, scenario: a checked scenario, with every default in its place. Plain data, so that it crosses processes.

import type { Plan } from '../arrivals/plan.ts';
import type { GeneratorLimits, LoadModel, PhaseKind } from '../report/run-report.ts';
import type { Condition } from './condition.ts';
import type { StepInput, StepWord } from './scenario-schema.ts';

export interface Scenario {
  readonly name: string;
  readonly description: string;
  readonly seed: number | undefined;
  /** A request to create a VM, without its name. */
  readonly vm: Readonly<Record<string, unknown>>;
  /** A request to create a deployment, without its name and replicas. */
  readonly deployment: Readonly<Record<string, unknown>>;
  readonly setup: Setup;
  readonly maxInFlight: number;
  readonly drainMs: number;
  readonly phases: readonly Phase[];
  readonly flows: readonly Flow[];
  readonly thresholds: readonly Threshold[];
  readonly generator: GeneratorLimits;
}

export interface Setup {
  readonly vms: number;
  readonly deployments: number;
  /** Of each deployment. */
  readonly replicas: number;
  readonly until: 'running' | 'ready';
  readonly timeoutMs: number;
}

export interface Phase {
  readonly name: string;
  readonly kind: PhaseKind;
  readonly model: LoadModel;
  readonly durationMs: number;
  readonly plan: Plan;
  /** Closed model. */
  readonly thinkMs: number;
}

/** What one start of the open model, or one turn of a user, does. */
export interface Flow {
  readonly name: string;
  readonly weight: number;
  /** One step is reported as itself, without a flow. */
  readonly steps: readonly Step[];
}

type StepOf<Word extends StepWord> = Extract<StepInput, { do: Word }>;

/** The members of the file, with name and timeout filled in. */
export type Step<Word extends StepWord = StepWord> = StepOf<Word> & {
  readonly name: string;
  readonly timeoutMs: number;
};

export interface Threshold {
  readonly condition: Condition;
  readonly abort: boolean;
  /** No breach ends the run before this time of it. */
  readonly afterMs: number;
}

/** What a flow needs of the VMs or deployments that setup made. */
export type Need = 'exclusive' | 'shared' | 'none';

const VM_CHANGES: readonly StepWord[] = ['start', 'stop', 'restart'];
const VM_READS: readonly StepWord[] = ['get', 'call', 'wait'];
const DEPLOYMENT_CHANGES: readonly StepWord[] = ['scale', 'roll_out'];
const DEPLOYMENT_READS: readonly StepWord[] = ['get_deployment'];

export function vmNeed(flow: Flow): Need {
  return needOf(flow, 'create', VM_CHANGES, VM_READS);
}

export function deploymentNeed(flow: Flow): Need {
  return needOf(flow, 'create_deployment', DEPLOYMENT_CHANGES, DEPLOYMENT_READS);
}

function needOf(
  { steps }: Flow,
  maker: StepWord,
  changes: readonly StepWord[],
  reads: readonly StepWord[],
): Need {
  const made = steps.findIndex((step) => step.do === maker);
  const before = made === -1 ? steps : steps.slice(0, made);
  if (before.some((step) => changes.includes(step.do))) return 'exclusive';
  return before.some((step) => reads.includes(step.do)) ? 'shared' : 'none';
}
