// cli, commands: `volar deployments`.

import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { CreateDeploymentRequest, Deployment } from '../../client/types.ts';
import { parseCount, readConfig } from '../arguments.ts';
import { UsageError } from '../exit.ts';
import { naturally } from '../natural-order.ts';
import { forEachName } from '../several.ts';
import type { Shell, ShellMaker } from '../shell.ts';
import type { Column, Facts } from '../table.ts';
import { showRows } from '../watch.ts';
import { addConfigOptions, type ConfigFlags, withFlags } from './create-config.ts';
import { addRollout } from './deployment-rollout.ts';
import { addWaitOptions, toWaitOptions, type WaitFlags } from './wait-options.ts';

/** A deployment, or what is left to tell of one. */
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

interface CreateFlags extends WaitFlags, ConfigFlags {
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
          await shell.progress(`Deleting ${name}`, shell.client.deployments.delete(name));
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
    .option('-w, --watch', 'go on, and print each deployment that changes')
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
    .option('-w, --watch', 'go on, and print it whenever it changes, until it is deleted')
    .option('--output <file>', 'write it to a file, as JSON')
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
    .option('--plugin <plugin>', 'what runs in its VMs')
    .option('--config <file>', 'config of its VMs, as JSON or YAML; "-" is standard input')
    .option('--replicas <count>', 'how many VMs', parseCount, 1)
    .option('--max-unavailable <count>', 'VMs that a roll-out may take away at once', parseCount)
    .option('--dry-run', 'say what would be done, and do nothing');
  addConfigOptions(create);
  addWaitOptions(create).action(
    shells.action<CreateFlags>(async (shell, [name = ''], flags) => {
      const { replicas, maxUnavailable } = flags;
      const { config: file, plugin } = flags;
      if (file === undefined && plugin === undefined) {
        throw new UsageError('Say what runs in its VMs: --plugin or --config');
      }
      const given = file === undefined ? {} : await readConfig(file, shell.streams.stdin);
      const named = plugin === undefined ? given : { ...given, plugin };
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
      sayCounts(shell, await shell.progressOf(name, `Creating ${name}`, work));
    }),
  );
}

function addScale(deployments: Command, shells: ShellMaker): void {
  const scale = deployments
    .command('scale')
    .description('change the number of VMs')
    .argument('<deployment>', 'name')
    .argument('<replicas>', 'how many VMs', parseCount)
    .option('--dry-run', 'say what would be done, and do nothing');
  addWaitOptions(scale).action(
    shells.action<WaitFlags & { dryRun?: true }>(async (shell, [name = '', count], flags) => {
      const replicas = Number(count);
      const { deployments: api } = shell.client;
      if (flags.dryRun) return shell.printJson(await api.planPatch(name, { replicas }));
      const work = api.scale(name, replicas, toWaitOptions(flags));
      sayCounts(shell, await shell.progressOf(name, `Scaling ${name}`, work));
    }),
  );
}

function sayCounts(shell: Shell, deployment: Deployment): void {
  const { name, ready_replicas, desired_replicas } = deployment;
  shell.say(deployment, `${name}  ${ready_replicas} of ${desired_replicas} ready`);
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
