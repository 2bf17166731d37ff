// engine, deployments: the events about a deployment: changes by clients, that it serves, and that it has problems.

import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log/log.ts';
import { type OtherEventType, otherEvent } from '../events/events.ts';
import type { DeploymentRecord, EventBody } from '../records.ts';
import type { State } from '../state/state.ts';
import type { Reconciler } from './reconciler.ts';

export interface EventParts {
  readonly state: State;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What the last events said. */
export interface EmittedState {
  available: boolean;
  degraded: boolean;
}

interface Subject {
  readonly record: DeploymentRecord;
  readonly reconciler: Reconciler;
  /** Updated to the current state. */
  readonly emitted: EmittedState;
}

/** The event of a change by a client. */
export function changeEvent(
  type: OtherEventType,
  { name, status, desiredReplicas, revision, updatedAtMs, cause }: DeploymentRecord,
  restoredFrom?: number,
): EventBody {
  const whence = restoredFrom === undefined ? '' : `, which restores revision ${restoredFrom}`;
  const message = `${desiredReplicas} replicas, revision ${revision}${whence}`;
  return otherEvent(type, { name, status, deployment: name }, updatedAtMs, message, cause);
}

/** The events for what has become true since the last call. */
function dueEventsOf({ record, reconciler, emitted }: Subject, nowMs: number): EventBody[] {
  const holds = (type: string) =>
    reconciler.conditions.find((condition) => condition.type === type);
  const serves = holds('Available')?.status === true && reconciler.ready() > 0;
  const problem = holds('Degraded');
  const isDegraded = problem?.status === true;
  const { name, status, desiredReplicas } = record;
  const subject = { name, status, deployment: name };
  const { cause } = reconciler;
  const events: EventBody[] = [];
  if (serves && !emitted.available) {
    const message = `${reconciler.ready()} of ${desiredReplicas} replicas are ready`;
    events.push(otherEvent('DEPLOYMENT_AVAILABLE', subject, nowMs, message, cause));
  }
  if (isDegraded && !emitted.degraded) {
    events.push(otherEvent('DEPLOYMENT_DEGRADED', subject, nowMs, problem.message, cause));
  }
  emitted.available = serves;
  emitted.degraded = isDegraded;
  return events;
}

/** Writes the events that are due. If that fails, the next round of the reconciler emits them. */
export function emitDueEvents({ state, clock, log }: EventParts, subject: Subject): void {
  const { emitted, record } = subject;
  const before = { ...emitted };
  const events = dueEventsOf(subject, clock.nowMs());
  if (events.length === 0) return;
  state.commit([], events).catch((error: unknown) => {
    Object.assign(emitted, before);
    log.warn({ deployment: record.name, err: error }, 'an event could not be written');
  });
}
