// engine, deployments: the in-memory state of one deployment. Its logic is in deployments.ts and reconciler.ts.

import type { DeploymentRecord } from '../records.ts';
import type { EmittedState } from './deployment-events.ts';
import type { Reconciler } from './reconciler.ts';

export interface Entry {
  record: DeploymentRecord;
  readonly reconciler: Reconciler;
  /** Called after each round of the reconciler. */
  readonly waiters: Set<() => void>;
  /** Settles after the last queued change. Changes of one deployment are written in sequence. */
  writing: Promise<unknown>;
  readonly emitted: EmittedState;
  /** Why the record of a deployment without replicas could not be removed. */
  forgetFailure: unknown;
  /** The record is being removed. */
  isForgetting: boolean;
  /** The store has the record. Nothing is done for a deployment whose create may still fail. */
  isStored: boolean;
}

/** Runs `write` after all earlier changes of this deployment. Rejects as `write` does. */
export async function inTurn<T>(entry: Entry, write: () => Promise<T>): Promise<T> {
  const turn = entry.writing.then(write);
  entry.writing = turn.catch(() => undefined);
  return turn;
}

/** Resolves to true when this is so after a change of the entry, or to false if the time is over first. */
export function untilFulfilled(
  { waiters }: Pick<Entry, 'waiters'>,
  isOver: () => boolean,
  timeoutMs: number,
): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (reached: boolean) => {
      clearTimeout(timer);
      waiters.delete(check);
      resolve(reached);
    };
    const check = () => {
      if (isOver()) end(true);
    };
    const timer = setTimeout(end, timeoutMs, false);
    waiters.add(check);
    check();
  });
}
