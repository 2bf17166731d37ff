// cli: the progress of a deployment in a few words. The daemon is not contacted here.

import type { Deployment } from '../client/types.ts';

/** How many VMs of the deployment are ready, and why the others are not. */
export function readyText(deployment: Deployment): string {
  const {
    ready_replicas: ready,
    updated_replicas: updated,
    desired_replicas: desired,
  } = deployment;
  const isThere = ready === desired && !(updated < desired);
  return `${ready} of ${desired} ready${isThere ? '' : troubleText(deployment)}`;
}

/** What is wrong with the deployment, as the end of a sentence; empty if nothing is. */
export function troubleText({ conditions = [] }: Deployment): string {
  const degraded = conditions.find(({ type, status }) => type === 'Degraded' && status);
  return degraded === undefined ? '' : `; ${degraded.message}`;
}
