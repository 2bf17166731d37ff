// cli, commands: `volar deployments`.

import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { CreateDeploymentRequest, Deployment } from '../../client/types.ts';
import { parseCount, readConfig } from '../arguments.ts';
import { readyText } from '../deployment-text.ts';
import { UsageError } from '../exit.ts';
import { forEachName } from '../for-each-name.ts';
import type { Shell } from '../shell.ts';
import type { ShellMaker } from '../shell-maker.ts';
import { naturally } from '../terminal/natural-order.ts';
import type { Column, Facts } from '../terminal/table.ts';
import { showRows } from '../watch.ts';
import {
  addConfigOptions,
  addImageOptions,
  type ConfigFlags,
  type ImageFlags,
  withFlags,
  withImage,
} from './create-config.ts';
import { addRollout } from './deployment-rollout.ts';
import { addWaitOptions, toWaitOptions, type WaitFlags } from './wait-options.ts';

/** A deployment, or the last known row of a deleted one. */
type Row = Omit<Deployment, 'status'> & { readonly status: string };

const COLUMNS: readonly Column<Row>[] = [
  { title: 'NAME', of: ({ name }) => name },
  { title: 'STATUS', of: ({ status }) => status },
  { title: 'DESIRED', of: ({ desired_replicas }) => desired_replicas },
  { title: 'READY', of: ({ ready_replicas }) => ready_replicas },
  { title: 'UPDATED', of: ({ updated_replicas }) => updated_replicas },
  { title: 'REVISION', of: ({ revision }) => revision },
];

const deletedDeployment = (last: Row): Row => ({ ...last, status: 'deleted' });

interface CreateFlags extends WaitFlags, ConfigFlags, ImageFlags {
  readonly config?: string;
  readonly plugin?: string;
  readonly replicas: number;
  readonly maxUnavailable?: number;
  readonly dryRun?: true;
}

export function addDeployments(program: Command, shells: ShellMaker): void {
  const deployments = program
    .command('deployments')
    .alias('deployment')
    .description('sets of identical VMs');
  addQueries(deployments, shells);
  addCreate(deployments, shells);
  addScale(deployments, shells);
  addRollout(deployments, shells);
  deployments
    .command('delete')
    .alias('rm')
    .description('delete deployments and their VMs')
    .argument('<deployment...>', 'names')
    .action(
      shells.action(async (shell, names) => {
        await forEachName(shell, names, async (name) => {
          const work = shell.client.deployments.delete(name);
          await shell.progress(`Deleting ${name}`, work, { ask: 'volar deployments list' });
          shell.say({ name, deleted: true }, `${name}  deleted`);
        });
      }),
    );
}

function addQueries(deployments: Command, shells: ShellMaker): void {
  deployments
    .command('list')
    .alias('ls')
    .description('list deployments')
    .option('-w, --watch', 'continue, and print each deployment that changes')
    .action(
      shells.action<{ watch?: true }>(async (shell, _args, { watch }) => {
        const list = () => shell.client.deployments.list();
        const keyOf = ({ name }: Row) => name;
        const watched = { list, keyOf, columns: COLUMNS, gone: deletedDeployment };
        await showRows(shell, watch, watched, 'No deployments.');
      }),
    );
  deployments
    .command('get')
    .description('show one deployment')
    .argument('<deployment>', 'name')
    .option('-w, --watch', 'continue, and print it after each change, until it is deleted')
    .option('--output <file>', 'write the deployment to a file, as JSON')
    .action(
      shells.action<{ watch?: true; output?: string }>(async (shell, [name = ''], flags) => {
        const deployment = await shell.client.deployments.get(name);
        if (flags.output !== undefined) {
          await writeFile(flags.output, `${JSON.stringify(deployment, null, 2)}\n`);
          return shell.note(`${name} written to ${flags.output}`);
        }
        if (flags.watch !== true) return printDeployment(shell, deployment);
        const list = async () =>
          (await shell.client.deployments.list()).filter((other) => other.name === name);
        const keyOf = ({ name: key }: Row) => key;
        const watched = { list, keyOf, columns: COLUMNS, gone: deletedDeployment };
        await showRows(shell, true, { ...watched, untilGone: true }, '');
      }),
    );
}

function addCreate(deployments: Command, shells: ShellMaker): void {
  const create = deployments
    .command('create')
    .description('create a deployment')
    .argument('<name>', 'lower-case letters, digits and "-"')
    .argument('[words...]', 'with --image: arguments in place of its command, after --')
    .option('--plugin <plugin>', 'what runs in its VMs')
    .option('--config <file>', 'config of its VMs, as JSON or YAML; "-" is standard input')
    .option('--replicas <count>', 'number of VMs', parseCount, 1)
    .option(
      '--max-unavailable <count>',
      'maximum number of VMs that a roll-out replaces at once',
      parseCount,
    )
    .option('--dry-run', 'print what would be done, and do nothing');
  addImageOptions(create);
  addConfigOptions(create);
  addWaitOptions(create).action(
    shells.action<CreateFlags>(async (shell, [name = '', ...words], flags) => {
      const { replicas, maxUnavailable } = flags;
      const { config: file, plugin, image } = flags;
      if (file === undefined && plugin === undefined && image === undefined) {
        throw new UsageError('Nothing to run in its VMs: give --plugin, --image or --config');
      }
      const given = file === undefined ? {} : await readConfig(file, shell.streams.stdin);
      const made = withImage(name, given, flags, words);
      const named = plugin === undefined ? made : { ...made, plugin };
      const config = await withFlags(shell, named, plugin, flags);
      const request: CreateDeploymentRequest = {
        name,
        replicas,
        config,
        ...(maxUnavailable === undefined ? {} : { max_unavailable: maxUnavailable }),
      };
      const { client } = shell;
      if (flags.dryRun) return shell.printJson(await client.deployments.planCreate(request));
      const work = client.deployments.create(request, toWaitOptions(flags));
      sayCounts(
        shell,
        await shell.progressOf({ kind: 'Deployment', name }, `Creating ${name}`, work),
      );
    }),
  );
}

function addScale(deployments: Command, shells: ShellMaker): void {
  const scale = deployments
    .command('scale')
    .description('change the number of VMs')
    .argument('<deployment>', 'name')
    .argument('<replicas>', 'number of VMs', parseCount)
    .option('--dry-run', 'print what would be done, and do nothing');
  addWaitOptions(scale).action(
    shells.action<WaitFlags & { dryRun?: true }>(async (shell, [name = '', count], flags) => {
      const replicas = Number(count);
      const { deployments: api } = shell.client;
      if (flags.dryRun) return shell.printJson(await api.planPatch(name, { replicas }));
      const work = api.scale(name, replicas, toWaitOptions(flags));
      sayCounts(
        shell,
        await shell.progressOf({ kind: 'Deployment', name }, `Scaling ${name}`, work),
      );
    }),
  );
}

function sayCounts(shell: Shell, deployment: Deployment): void {
  shell.say(deployment, `${deployment.name}  ${readyText(deployment)}`);
}

function printDeployment(shell: Shell, deployment: Deployment): void {
  const facts: Facts = [
    ['name', deployment.name],
    ['status', deployment.status],
    ['replicas', `${deployment.ready_replicas} of ${deployment.desired_replicas} ready`],
    ['updated replicas', deployment.updated_replicas],
    ['revision', deployment.revision],
    ['plugin', deployment.config.plugin],
    ...(deployment.conditions ?? []).map(
      ({ type, status, reason, message }) =>
        [type.toLowerCase(), `${status ? 'yes' : 'no'}, ${reason}: ${message}`] as const,
    ),
    ...naturally(deployment.replicas).map((vm, at) => [at === 0 ? 'VMs' : '', vm] as const),
    ['created', deployment.created_at],
    ['updated', deployment.updated_at],
  ];
  shell.printFacts(deployment, facts);
}
