// engine, deployments: the events that tell how a deployment is: that it serves, that something is wrong with it. What
// clients ask of it is told where it is written down.

import { otherEvent } from '../events.ts';
import type { DeploymentRecord, EventBody } from '../records.ts';
import type { Reconciler } from './reconciler.ts';

/** What was true at the last look. */
export interface Told {
  available: boolean;
  degraded: boolean;
}

interface Subject {
  readonly record: DeploymentRecord;
  readonly reconciler: Reconciler;
  /** Is brought up to date. */
  readonly told: Told;
}

/** Events for what has begun to be true since the last look. */
export function newsOf({ record, reconciler, told }: Subject, nowMs: number): EventBody[] {
  const holds = (type: string) =>
    reconciler.conditions.find((condition) => condition.type === type);
  const serves = holds('Available')?.status === true && reconciler.ready() > 0;
  const trouble = holds('Degraded');
  const isDegraded = trouble?.status === true;
  const { name, status, desiredReplicas } = record;
  const subject = { name, status, deployment: name };
  const { cause } = reconciler;
  const events: EventBody[] = [];
  if (serves && !told.available) {
    const message = `${reconciler.ready()} of ${desiredReplicas} replicas are ready`;
    events.push(otherEvent('DEPLOYMENT_AVAILABLE', subject, nowMs, message, cause));
  }
  if (isDegraded && !told.degraded) {
    events.push(otherEvent('DEPLOYMENT_DEGRADED', subject, nowMs, trouble.message, cause));
  }
  told.available = serves;
  told.degraded = isDegraded;
  return events;
}
