// load, generator: waiting for what a VM is to become, and for its workload to answer. Both are polled, so the end of
// such a step is known within the pause between two requests: 10 ms at first, at most 200 ms.

import type { VolantClient } from '../../client/client.ts';
import { ApiError, ConnectionError } from '../../client/errors.ts';
import type { Vm } from '../../client/types.ts';
import { LOAD_LIMITS } from '../load-limits.ts';
import { Cancelled, StepFailure, StepTimeout } from '../measure/outcomes.ts';
import { monotonicMs, sleep } from './clock.ts';

/** Bounds of one step. */
export interface StepBound {
  /** On the monotonic clock. */
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

/** Asks until the answer is not undefined. Throws StepTimeout, and Cancelled at the end of the run. */
export async function poll<T>(
  { deadlineMs, signal }: StepBound,
  what: string,
  look: (leftMs: number) => Promise<T | undefined>,
): Promise<T> {
  for (let pauseMs: number = LOAD_LIMITS.pollMinMs; ; ) {
    const leftMs = deadlineMs - monotonicMs();
    if (signal.aborted) throw new Cancelled();
    if (leftMs <= 0) throw new StepTimeout(`${what} took too long`);
    const found = await look(leftMs);
    if (found !== undefined) return found;
    await sleep(Math.min(pauseMs, leftMs), signal);
    pauseMs = Math.min(pauseMs * 1.5, LOAD_LIMITS.pollMaxMs);
  }
}

export async function waitForVm(
  client: VolantClient,
  name: string,
  until: 'running' | 'ready' | 'gone',
  bound: StepBound,
): Promise<void> {
  await poll(bound, `${name} to be ${until}`, async (leftMs) => {
    const vm = await getOrGone(client, name, leftMs, bound.signal);
    if (until === 'gone') return vm === undefined ? true : undefined;
    if (vm === undefined) throw new StepFailure('VM_NOT_FOUND', `${name} is gone`);
    if (vm.status === 'crashed') throw new StepFailure('VM_CRASHED', `${name} crashed`);
    return isReached(vm, until) ? true : undefined;
  });
}

async function getOrGone(
  client: VolantClient,
  name: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Vm | undefined> {
  try {
    return await client.vms.get(name, { timeoutMs, signal });
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}

function isReached(vm: Vm, until: 'running' | 'ready'): boolean {
  return vm.status === 'running' && (until === 'running' || vm.workload?.healthy === true);
}

/** Until the workload answers a GET of this path with a status below 400. */
export async function waitForHttp(
  client: VolantClient,
  name: string,
  path: string,
  bound: StepBound,
): Promise<void> {
  await poll(bound, `${name} to answer HTTP`, async (timeoutMs) => {
    const answer = await client.agent.request(name, path, { timeoutMs, signal: bound.signal });
    await answer.body?.cancel();
    return answer.status < 400 ? true : undefined;
  });
}

/** Reads an answer to its end, and drops it. Throws StepTimeout, Cancelled or ConnectionError. */
export async function readToEnd(
  answer: Response,
  { signal, deadlineMs }: StepBound,
): Promise<void> {
  const reader = answer.body?.getReader();
  if (reader === undefined) return;
  let isLate = false;
  // It ends the read that waits, as at the end of the answer.
  const cancel = () => void reader.cancel().catch(() => undefined);
  const timer = setTimeout(
    () => {
      isLate = true;
      cancel();
    },
    Math.max(0, deadlineMs - monotonicMs()),
  );
  signal.addEventListener('abort', cancel, { once: true });
  try {
    while (!(await reader.read()).done) if (signal.aborted) break;
  } catch (error) {
    if (!signal.aborted) throw new ConnectionError('The answer broke', error);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', cancel);
  }
  if (signal.aborted) throw new Cancelled();
  if (isLate) throw new StepTimeout('The answer was not complete in time');
}
