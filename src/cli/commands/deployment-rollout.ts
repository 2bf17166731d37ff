// cli, commands: `deployments update`, which begins a roll-out, and `deployments rollout status`, which waits for it.

import { setTimeout as pause } from 'node:timers/promises';
import type { Command } from 'commander';
import type { Deployment, PatchDeploymentRequest } from '../../client/types.ts';
import { parseCount, parseDurationMs, readConfig } from '../arguments.ts';
import { EXIT, ManyFailures, UsageError } from '../exit.ts';
import type { Shell, ShellMaker } from '../shell.ts';
import { addWaitOptions, toWaitOptions, type WaitFlags } from './wait-options.ts';

const LOOK_PAUSE_MS = 500;
const WAIT_MS = 5 * 60_000;

interface UpdateFlags extends WaitFlags {
  readonly config?: string;
  readonly replicas?: number;
  readonly maxUnavailable?: number;
  readonly dryRun?: true;
}

export function addRollout(deployments: Command, shells: ShellMaker): void {
  addUpdate(deployments, shells);
  deployments
    .command('rollout')
    .description('how far a change of a deployment is')
    .command('status')
    .description('wait until every VM is ready with the newest config, and tell the progress')
    .argument('<deployment>', 'name')
    .option('--no-wait', 'tell how far it is, and end')
    .option('--timeout <duration>', 'wait no longer', parseDurationMs, WAIT_MS)
    .action(
      shells.action<{ wait: boolean; timeout: number }>(async (shell, [name = ''], flags) => {
        const endMs = performance.now() + (flags.wait ? flags.timeout : 0);
        await followRollout(shell, name, endMs);
      }),
    );
}

function addUpdate(deployments: Command, shells: ShellMaker): void {
  const update = deployments
    .command('update')
    .description('change the config of a deployment, which replaces its VMs step by step')
    .argument('<deployment>', 'name')
    .option('--config <file>', 'the new config, as JSON or YAML; "-" is standard input')
    .option('--replicas <count>', 'how many VMs', parseCount)
    .option('--max-unavailable <count>', 'VMs that a roll-out may take away at once', parseCount)
    .option('--dry-run', 'say what would be done, and do nothing');
  addWaitOptions(update).action(
    shells.action<UpdateFlags>(async (shell, [name = ''], flags) => {
      const { config: file, replicas, maxUnavailable } = flags;
      const config = file === undefined ? undefined : await readConfig(file, shell.streams.stdin);
      const patch: PatchDeploymentRequest = {
        ...(config === undefined ? {} : { config }),
        ...(replicas === undefined ? {} : { replicas }),
        ...(maxUnavailable === undefined ? {} : { max_unavailable: maxUnavailable }),
      };
      if (Object.keys(patch).length === 0) {
        throw new UsageError('Say what to change: --config, --replicas or --max-unavailable');
      }
      const { deployments: api } = shell.client;
      if (flags.dryRun) return shell.printJson(await api.planPatch(name, patch));
      const work = api.patch(name, patch, toWaitOptions(flags));
      const changed = await shell.progressOf(name, `Updating ${name}`, work);
      shell.say(changed, progressLine(changed));
    }),
  );
}

/** Throws with the exit status of a time-out when it is not done in time. */
export async function followRollout(shell: Shell, name: string, endMs: number): Promise<void> {
  let told = '';
  for (;;) {
    const deployment = await shell.client.deployments.get(name);
    const line = progressLine(deployment);
    if (line !== told) shell.say(deployment, line);
    told = line;
    if (isRolledOut(deployment)) return;
    if (performance.now() >= endMs) throw new ManyFailures(1, EXIT.timeout);
    await pause(LOOK_PAUSE_MS);
  }
}

function isRolledOut(deployment: Deployment): boolean {
  const { desired_replicas: desired, ready_replicas: ready, updated_replicas } = deployment;
  return (
    ready === desired && updated_replicas === desired && !(deployment.replicas.length > desired)
  );
}

/** How far it is, and what keeps it. */
export function progressLine(deployment: Deployment): string {
  const { name, desired_replicas: desired, ready_replicas, updated_replicas } = deployment;
  const counts = `${ready_replicas} of ${desired} ready, ${updated_replicas} updated`;
  if (isRolledOut(deployment)) return `${name}  rolled out: ${counts}`;
  const degraded = deployment.conditions.find(({ type, status }) => type === 'Degraded' && status);
  return `${name}  ${counts}${degraded === undefined ? '' : `; ${degraded.message}`}`;
}
