// load, generator: what each step of a scenario does, by its word. A step that returns has succeeded.

import type { VolantClient } from '../../client/client.ts';
import type {
  CreateDeploymentRequest,
  CreateVmRequest,
  WaitFor,
  WaitOptions,
} from '../../client/types.ts';
import type { Random } from '../arrivals/random.ts';
import { Cancelled, StepFailure, StepTimeout } from '../measure/outcomes.ts';
import { type RunOwner, withMark } from '../owned/labels.ts';
import type { Scenario, Step } from '../scenario/scenario.ts';
import type { StepWord } from '../scenario/scenario-schema.ts';
import { monotonicMs, sleep } from './clock.ts';
import { readToEnd, type StepBound, waitForHttp, waitForVm } from './waits.ts';

/** One flow, as its steps see it. */
export interface FlowState {
  readonly client: VolantClient;
  readonly scenario: Scenario;
  readonly owner: RunOwner;
  readonly random: Random;
  /** Returns a name that nothing else of the run has. */
  readonly newName: () => string;
  /** What the steps work on: created by the flow, or one of those that setup made. */
  vm: string | undefined;
  deployment: string | undefined;
}

interface Bounds extends StepBound {
  readonly timeoutMs: number;
}

type Action<Word extends StepWord> = (
  flow: FlowState,
  step: Step<Word>,
  bounds: Bounds,
) => Promise<void>;

/** The root of the workload, as the agent passes it on. */
const WORKLOAD_PATH = '/v1/';
const LIST_LIMIT = 100;

const ACTIONS: { readonly [Word in StepWord]: Action<Word> } = {
  create: async (flow, { vm, until }, bounds) => {
    const name = flow.newName();
    // Known before it exists: a create that fails may still have made it.
    flow.vm = name;
    const request = vmRequest(name, { ...flow.scenario.vm, ...vm }, flow.owner);
    await flow.client.vms.create(request, waiting(until, bounds));
    if (until === 'http') await waitForHttp(flow.client, name, WORKLOAD_PATH, bounds);
  },
  wait: async ({ client, vm }, { until }, bounds) => {
    const name = needed(vm);
    if (until === 'http') await waitForHttp(client, name, WORKLOAD_PATH, bounds);
    else await waitForVm(client, name, until as 'running' | 'ready' | 'gone', bounds);
  },
  call: async ({ client, vm }, { path = '/', method, body, status }, bounds) => {
    const { timeoutMs, signal } = bounds;
    const below = `${WORKLOAD_PATH}${path.replace(/^\/+/, '')}`;
    const answer = await client.agent.request(needed(vm), below, {
      ...(method === undefined ? {} : { method: method as 'GET' }),
      ...(body === undefined ? {} : { json: body }),
      timeoutMs,
      signal,
    });
    // A call has ended when its answer is complete.
    await readToEnd(answer, bounds);
    const isExpected = status === undefined ? answer.status < 400 : answer.status === status;
    if (isExpected) return;
    throw new StepFailure(`GUEST_HTTP_${answer.status}`, `The guest answered ${answer.status}`);
  },
  start: async ({ client, vm }, { until }, bounds) => {
    await client.vms.start(needed(vm), waiting(until, bounds));
    if (until === 'http') await waitForHttp(client, needed(vm), WORKLOAD_PATH, bounds);
  },
  stop: async ({ client, vm }, { grace_seconds }, bounds) => {
    await client.vms.stop(needed(vm), ending(grace_seconds, bounds));
  },
  restart: async ({ client, vm }, { grace_seconds, until }, bounds) => {
    const options = { ...waiting(until, bounds), ...ending(grace_seconds, bounds) };
    await client.vms.restart(needed(vm), options);
    if (until === 'http') await waitForHttp(client, needed(vm), WORKLOAD_PATH, bounds);
  },
  delete: async (flow, { grace_seconds }, bounds) => {
    await flow.client.vms.destroy(needed(flow.vm), ending(grace_seconds, bounds));
    flow.vm = undefined;
  },
  get: async ({ client, vm }, _step, { timeoutMs, signal }) => {
    await client.vms.get(needed(vm), { timeoutMs, signal });
  },
  list: async ({ client }, { limit = LIST_LIMIT }, { timeoutMs, signal }) => {
    await client.vms.list({ limit }, { timeoutMs, signal });
  },
  create_deployment: async (flow, { deployment, replicas = 1, until }, bounds) => {
    const name = flow.newName();
    flow.deployment = name;
    const given = { ...flow.scenario.deployment, ...deployment };
    const request = deploymentRequest(name, replicas, given, flow.owner);
    await flow.client.deployments.create(request, waiting(until ?? 'ready', bounds));
  },
  scale: async ({ client, deployment, random }, { replicas, until }, bounds) => {
    const choices: readonly number[] = Array.isArray(replicas) ? replicas : [replicas];
    const chosen = choices[Math.floor(random() * choices.length)] ?? 0;
    await client.deployments.scale(needed(deployment), chosen, waiting(until ?? 'ready', bounds));
  },
  roll_out: async (flow, { config, until }, bounds) => {
    const given = { ...(flow.scenario.deployment['config'] as object | undefined), ...config };
    const { metadata, ...rest } = marked(given, flow.owner);
    const changed = { ...rest, metadata: { ...(metadata as object), roll_out: flow.newName() } };
    await flow.client.deployments.patch(
      needed(flow.deployment),
      { config: changed },
      waiting(until ?? 'ready', bounds),
    );
  },
  get_deployment: async ({ client, deployment }, _step, { timeoutMs, signal }) => {
    await client.deployments.get(needed(deployment), { timeoutMs, signal });
  },
  list_deployments: async ({ client }, _step, { timeoutMs, signal }) => {
    await client.deployments.list({ timeoutMs, signal });
  },
  delete_deployment: async (flow, _step, { timeoutMs, signal }) => {
    await flow.client.deployments.delete(needed(flow.deployment), { timeoutMs, signal });
    flow.deployment = undefined;
  },
  watch: (flow, { event, duration_seconds }, bounds) =>
    event === undefined
      ? readEvents(flow, (duration_seconds ?? 0) * 1000, bounds)
      : waitForEvent(flow, event, bounds),
  pause: async (_flow, { duration_seconds }, { signal }) => {
    await sleep(duration_seconds * 1000, signal);
    if (signal.aborted) throw new Cancelled();
  },
};

/** Throws what the client throws, and the errors of measure/outcomes.ts. */
export async function runStep(flow: FlowState, step: Step, signal: AbortSignal): Promise<void> {
  const { timeoutMs } = step;
  const bounds = { timeoutMs, deadlineMs: monotonicMs() + timeoutMs, signal };
  // The table has an action for each word, and each takes the step of its word.
  const action = ACTIONS[step.do] as Action<StepWord>;
  await action(flow, step, bounds);
}

/** The request to create a VM that is known as the run's own. */
export function vmRequest(
  name: string,
  given: Readonly<Record<string, unknown>>,
  owner: RunOwner,
): CreateVmRequest {
  return { ...given, name, config: marked(given['config'], owner) } as CreateVmRequest;
}

export function deploymentRequest(
  name: string,
  replicas: number,
  given: Readonly<Record<string, unknown>>,
  owner: RunOwner,
): CreateDeploymentRequest {
  const request = { ...given, name, replicas, config: marked(given['config'], owner) };
  return request as CreateDeploymentRequest;
}

function marked(config: unknown, owner: RunOwner): Record<string, unknown> {
  const own = (config ?? {}) as Readonly<Record<string, unknown>>;
  return { ...own, metadata: withMark(own['metadata'], owner) };
}

/** `http` is looked for after `running`. */
function waiting(until: string | undefined, { timeoutMs, signal }: Bounds): WaitOptions {
  const wait = (until === undefined || until === 'http' ? 'running' : until) as WaitFor;
  return { wait, waitTimeoutMs: timeoutMs, signal };
}

function ending(graceSeconds: number | undefined, { timeoutMs, signal }: Bounds) {
  return { timeoutMs, signal, ...(graceSeconds === undefined ? {} : { graceSeconds }) };
}

/** The rules of a scenario let no step come without it. */
function needed(name: string | undefined): string {
  if (name === undefined) throw new StepFailure('OTHER', 'The flow has nothing to work on');
  return name;
}

/** Past events of the VM count, too. */
async function waitForEvent(flow: FlowState, type: string, bounds: Bounds): Promise<void> {
  const name = needed(flow.vm);
  const timeout = AbortSignal.timeout(bounds.timeoutMs);
  const signal = AbortSignal.any([bounds.signal, timeout]);
  const events = flow.client.events.vms({ name: [name], type: [type], after: 0, signal });
  for await (const event of events) if (event.type === type) return;
  throwEnd(bounds.signal, `${name} to have the event ${type}`);
}

/** The stream must be open for the whole time. */
async function readEvents(flow: FlowState, durationMs: number, bounds: Bounds): Promise<void> {
  const timeout = AbortSignal.timeout(durationMs);
  const signal = AbortSignal.any([bounds.signal, timeout]);
  const filter = flow.vm === undefined ? {} : { name: [flow.vm] };
  for await (const _event of flow.client.events.all({ ...filter, reconnectsMax: 0, signal })) {
    if (signal.aborted) break;
  }
  if (bounds.signal.aborted) throw new Cancelled();
  if (!timeout.aborted) throw new StepFailure('CONNECTION', 'The stream of events ended early');
}

function throwEnd(signal: AbortSignal, what: string): never {
  if (signal.aborted) throw new Cancelled();
  throw new StepTimeout(`${what} took too long`);
}
