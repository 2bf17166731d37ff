// ui, pages: how a deployment is, in a word. Pure.

import type { Deployment, VolantEvent } from '../../../src/client/types.ts';

export interface DeploymentState {
  readonly word: string;
  readonly tone: string;
  readonly message: string;
}

/** Replicas are VMs, so that nearly every event of a VM with a deployment changes its counts. */
export const concernsDeployments = ({ type, deployment }: VolantEvent): boolean =>
  deployment !== undefined || type.startsWith('DEPLOYMENT_');

/** What is not as it should be comes first. */
export function stateOf({ status, conditions }: Deployment): DeploymentState {
  const message = (type: string) => conditions.find((each) => each.type === type)?.message ?? '';
  const is = (type: string) => conditions.some((each) => each.type === type && each.status);
  if (status === 'deleting') return { word: 'deleting', tone: 'busy', message: '' };
  if (is('Degraded')) return { word: 'degraded', tone: 'bad', message: message('Degraded') };
  if (is('Progressing')) {
    return { word: 'progressing', tone: 'busy', message: message('Progressing') };
  }
  if (is('Available')) return { word: 'available', tone: 'good', message: message('Available') };
  return { word: 'not available', tone: 'warn', message: message('Available') };
}
