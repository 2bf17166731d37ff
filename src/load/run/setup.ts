// load, run: makes the VMs and deployments that a scenario wants to have before its first phase.

import type { VolantClient } from '../../client/client.ts';
import { ApiError } from '../../client/errors.ts';
import { deploymentRequest, vmRequest } from '../generator/step-actions.ts';
import { LOAD_LIMITS } from '../load-limits.ts';
import { namePrefixOf, type RunOwner } from '../owned/labels.ts';
import { forMany } from '../owned/many.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { ScenarioError } from '../scenario/scenario-file.ts';

export interface MadeBySetup {
  readonly vms: readonly string[];
  readonly deployments: readonly string[];
}

/** Something that the scenario needs before its first phase could not be made. */
export class SetupError extends Error {
  override readonly name = 'SetupError';
}

/** Asks the daemon whether it would make what the scenario makes. Throws ScenarioError with what it says against it. */
export async function checkWithDaemon(
  client: VolantClient,
  scenario: Scenario,
  owner: RunOwner,
): Promise<void> {
  const steps = scenario.flows.flatMap((flow) => flow.steps);
  const name = `${namePrefixOf(owner.label)}check`;
  const { vm, deployment, setup } = scenario;
  const vms = new Set(
    [
      ...(setup.vms > 0 ? [vm] : []),
      ...steps.flatMap((step) => (step.do === 'create' ? [{ ...vm, ...step.vm }] : [])),
    ].map((request) => JSON.stringify(request)),
  );
  const deployments = new Set(
    [
      ...(setup.deployments > 0 ? [deployment] : []),
      ...steps.flatMap((step) =>
        step.do === 'create_deployment' ? [{ ...deployment, ...step.deployment }] : [],
      ),
    ].map((request) => JSON.stringify(request)),
  );
  for (const given of vms) {
    const request = vmRequest(name, JSON.parse(given), owner);
    await refused('vm', () => client.vms.planCreate(request));
  }
  for (const given of deployments) {
    const request = deploymentRequest(name, 1, JSON.parse(given), owner);
    await refused('deployment', () => client.deployments.planCreate(request));
  }
}

async function refused(what: string, ask: () => Promise<unknown>): Promise<void> {
  try {
    await ask();
  } catch (error) {
    if (!(error instanceof ApiError) || error.status >= 500 || error.status === 429) throw error;
    const details = Object.entries(error.details).map(([field, why]) => [`${what}.${field}`, why]);
    throw new ScenarioError(
      `The daemon would not make the ${what} of the scenario: ${error.message}`,
      Object.fromEntries(details),
    );
  }
}

/** Rejects with SetupError. What was made by then is known by the label of the run. */
export async function makeSetup(
  client: VolantClient,
  { setup, vm, deployment }: Scenario,
  owner: RunOwner,
  signal: AbortSignal,
): Promise<MadeBySetup> {
  const prefix = namePrefixOf(owner.label);
  const names = (letter: string, count: number) =>
    Array.from({ length: count }, (_, index) => `${prefix}${letter}${index + 1}`);
  const made = { vms: names('s', setup.vms), deployments: names('d', setup.deployments) };
  const options = { waitTimeoutMs: setup.timeoutMs, signal, wait: setup.until };
  const problems: string[] = [];
  const each = (all: readonly string[], work: (name: string) => Promise<unknown>) =>
    forMany(
      all,
      LOAD_LIMITS.setupConcurrencyMax,
      async (name) => {
        try {
          await work(name);
        } catch (error) {
          problems.push(`${name} could not be made: ${(error as Error).message}`);
        }
      },
      () => problems.length > 0 || signal.aborted,
    );
  await each(made.vms, (name) => client.vms.create(vmRequest(name, vm, owner), options));
  await each(made.deployments, (name) =>
    client.deployments.create(deploymentRequest(name, setup.replicas, deployment, owner), options),
  );
  if (problems[0] !== undefined && !signal.aborted) throw new SetupError(problems[0]);
  return made;
}
