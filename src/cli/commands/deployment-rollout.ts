// cli, commands: `deployments update`, which starts a roll-out, and `deployments rollout`: its progress, the history of
// revisions, and undo.

import { setTimeout as pause } from 'node:timers/promises';
import type { Command } from 'commander';
import type { Deployment, DeploymentRevision, PatchDeploymentRequest } from '../../client/types.ts';
import { parseCount, parseDurationMs, readConfig } from '../arguments.ts';
import { troubleText } from '../deployment-text.ts';
import { EXIT, ManyFailures, NotFoundError, UsageError } from '../exit.ts';
import type { Shell } from '../shell.ts';
import type { ShellMaker } from '../shell-maker.ts';
import type { Column } from '../terminal/table.ts';
import { addWaitOptions, toWaitOptions, type WaitFlags } from './wait-options.ts';

const LOOK_PAUSE_MS = 500;
const WAIT_MS = 5 * 60_000;

interface UpdateFlags extends WaitFlags {
  readonly config?: string;
  readonly replicas?: number;
  readonly maxUnavailable?: number;
  readonly dryRun?: true;
}

const COLUMNS: readonly Column<DeploymentRevision>[] = [
  { title: 'REVISION', of: ({ revision, current }) => `${revision}${current ? ' *' : ''}` },
  { title: 'CREATED', of: ({ created_at }) => created_at ?? '' },
  { title: 'PLUGIN', of: ({ config }) => config.plugin },
  { title: 'CHANGES', of: changesOf },
  { title: 'REQUEST', of: ({ request_id }) => request_id, optional: true },
  { title: 'CLIENT', of: ({ client }) => client, optional: true },
];

interface UndoFlags extends WaitFlags {
  readonly toRevision?: number;
  readonly dryRun?: true;
}

export function addRollout(deployments: Command, shells: ShellMaker): void {
  addUpdate(deployments, shells);
  const rollout = deployments
    .command('rollout')
    .description('progress of a roll-out, revisions, and rollback');
  rollout
    .command('status')
    .description('wait until every VM is ready with the newest config, and print the progress')
    .argument('<deployment>', 'name')
    .option('--no-wait', 'print the progress once')
    .option('--timeout <duration>', 'maximum wait', parseDurationMs, WAIT_MS)
    .action(
      shells.action<{ wait: boolean; timeout: number }>(async (shell, [name = ''], flags) => {
        const endMs = performance.now() + (flags.wait ? flags.timeout : 0);
        await followRollout(shell, name, endMs);
      }),
    );
  addHistory(rollout, shells);
  addUndo(rollout, shells);
}

function addHistory(rollout: Command, shells: ShellMaker): void {
  rollout
    .command('history')
    .description('list the stored revisions, newest first; "*" is the current one')
    .argument('<deployment>', 'name')
    .option('--revision <revision>', 'print this revision with its config, as JSON', parseCount)
    .action(
      shells.action<{ revision?: number }>(async (shell, [name = ''], { revision }) => {
        const revisions = await shell.client.deployments.revisions(name);
        if (revision === undefined) return shell.printRows(revisions, COLUMNS, 'No revisions.');
        const found = revisions.find((one) => one.revision === revision);
        if (found !== undefined) return shell.printJson(found);
        throw new NotFoundError(
          `Deployment ${name} has no revision ${revision}`,
          '`volar deployments rollout history` shows the stored ones.',
        );
      }),
    );
}

function addUndo(rollout: Command, shells: ShellMaker): void {
  const undo = rollout
    .command('undo')
    .description('restore the config of an earlier revision, as a new revision')
    .argument('<deployment>', 'name')
    .option(
      '--to-revision <revision>',
      'the revision to restore; the previous one by default',
      parseCount,
    )
    .option('--dry-run', 'print what would be done, and do nothing');
  addWaitOptions(undo).action(
    shells.action<UndoFlags>(async (shell, [name = ''], flags) => {
      const { deployments: api } = shell.client;
      const { toRevision: revision } = flags;
      const request = revision === undefined ? {} : { revision };
      if (flags.dryRun) return shell.printJson(await api.planRollback(name, request));
      const work = api.rollback(name, request, toWaitOptions(flags));
      const place = { kind: 'Deployment', name } as const;
      const changed = await shell.progressOf(place, `Rolling ${name} back`, work);
      shell.say(changed, `${progressLine(changed)}; revision ${changed.revision}`);
    }),
  );
}

/** What a revision changed, for the table. */
function changesOf({ changes, restored_from }: DeploymentRevision): string {
  const whence = restored_from === undefined ? [] : [`restores ${restored_from}`];
  return [...whence, ...changes].join(', ');
}

function addUpdate(deployments: Command, shells: ShellMaker): void {
  const update = deployments
    .command('update')
    .description('change the config of a deployment, which replaces its VMs step by step')
    .argument('<deployment>', 'name')
    .option('--config <file>', 'the new config, as JSON or YAML; "-" is standard input')
    .option('--replicas <count>', 'number of VMs', parseCount)
    .option(
      '--max-unavailable <count>',
      'maximum number of VMs that a roll-out replaces at once',
      parseCount,
    )
    .option('--dry-run', 'print what would be done, and do nothing');
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
        throw new UsageError('Nothing to change: give --config, --replicas or --max-unavailable');
      }
      const { deployments: api } = shell.client;
      if (flags.dryRun) return shell.printJson(await api.planPatch(name, patch));
      const work = api.patch(name, patch, toWaitOptions(flags));
      const changed = await shell.progressOf(
        { kind: 'Deployment', name },
        `Updating ${name}`,
        work,
      );
      shell.say(changed, progressLine(changed));
    }),
  );
}

/** Throws with the exit status of a timeout if the roll-out is not complete in time. */
export function followRollout(shell: Shell, name: string, endMs: number): Promise<void> {
  const ask = `volar deployments rollout status ${name}`;
  return shell.interrupts.during({ ask }, untilRolledOut(shell, name, endMs));
}

async function untilRolledOut(shell: Shell, name: string, endMs: number): Promise<void> {
  let last = '';
  for (;;) {
    const deployment = await shell.client.deployments.get(name);
    const line = progressLine(deployment);
    if (line !== last) shell.say(deployment, line);
    last = line;
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

/** The progress of a deployment, and what prevents it from being complete. */
export function progressLine(deployment: Deployment): string {
  const { name, desired_replicas: desired, ready_replicas, updated_replicas } = deployment;
  const counts = `${ready_replicas} of ${desired} ready, ${updated_replicas} updated`;
  if (isRolledOut(deployment)) return `${name}  rolled out: ${counts}`;
  return `${name}  ${counts}${troubleText(deployment)}`;
}
