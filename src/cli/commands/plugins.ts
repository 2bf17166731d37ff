// cli, commands: `volar plugins`.

import type { Command } from 'commander';
import type { VolantClient } from '../../client/client.ts';
import { ApiError } from '../../client/errors.ts';
import type { Manifest } from '../../client/types.ts';
import { UsageError } from '../exit.ts';
import { readManifest } from '../manifest-file.ts';
import type { ShellMaker } from '../shell-maker.ts';
import type { Column } from '../terminal/table.ts';
import { showRows } from '../watch.ts';

const COLUMNS: readonly Column<Manifest>[] = [
  { title: 'NAME', of: ({ name }) => name },
  { title: 'VERSION', of: ({ version }) => version },
  { title: 'ENABLED', of: ({ enabled }) => (enabled ? 'yes' : 'no') },
  { title: 'RUNTIME', of: ({ runtime }) => runtime },
];

/** Maximum number of manifests that are requested at the same time. */
const REQUESTS_MAX = 8;

interface InstallFlags {
  readonly manifest?: string;
  readonly url?: string;
}

export function addPlugins(program: Command, shells: ShellMaker): void {
  const plugins = program.command('plugins').alias('plugin').description('VM templates');
  addQueries(plugins, shells);
  plugins
    .command('install')
    .description('install a plugin, or replace the one with the same name')
    .argument('[file or URL]', 'the manifest, as JSON; "-" is standard input')
    .option('--manifest <file>', 'the manifest, as a file')
    .option('--url <url>', 'the manifest, as a URL')
    .action(
      shells.action<InstallFlags>(async (shell, [given], flags) => {
        const source = given ?? flags.manifest ?? flags.url;
        if (source === undefined)
          throw new UsageError('A manifest is missing: give a file or a URL');
        const manifest = await readManifest(source, shell.streams.stdin);
        await shell.client.plugins.install(manifest);
        shell.say({ name: manifest.name, installed: true }, `${manifest.name}  installed`);
      }),
    );
  for (const [command, enabled] of [['enable', true] as const, ['disable', false] as const]) {
    plugins
      .command(command)
      .description(enabled ? 'allow new VMs of a plugin' : 'allow no new VMs of a plugin')
      .argument('<plugin>', 'name')
      .action(
        shells.action(async (shell, [name = '']) => {
          await shell.client.plugins.setEnabled(name, enabled);
          shell.say({ name, enabled }, `${name}  ${command}d`);
        }),
      );
  }
  plugins
    .command('remove')
    .alias('rm')
    .description('remove a plugin; its VMs are not changed')
    .argument('<plugin>', 'name')
    .action(
      shells.action(async (shell, [name = '']) => {
        await shell.client.plugins.remove(name);
        shell.say({ name, removed: true }, `${name}  removed`);
      }),
    );
}

function addQueries(plugins: Command, shells: ShellMaker): void {
  plugins
    .command('list')
    .alias('ls')
    .description('list plugins')
    .option('-w, --watch', 'continue, and print each plugin that changes')
    .action(
      shells.action<{ watch?: true }>(async (shell, _args, { watch }) => {
        const list = () => manifestsOf(shell.client);
        const keyOf = ({ name }: Manifest) => name;
        const gone = (last: Manifest) => ({ ...last, version: 'removed' });
        await showRows(shell, watch, { list, keyOf, columns: COLUMNS, gone }, 'No plugins.');
      }),
    );
  plugins
    .command('show')
    .alias('get')
    .description('print the manifest of a plugin, as JSON')
    .argument('<plugin>', 'name')
    .action(
      shells.action(async (shell, [name = '']) =>
        shell.printJson(await shell.client.plugins.get(name)),
      ),
    );
}

/** A plugin that was removed after the names were listed is left out. */
async function manifestsOf(client: VolantClient): Promise<readonly Manifest[]> {
  const names = [...(await client.plugins.list())];
  const manifests: Manifest[] = [];
  const askNext = async (): Promise<void> => {
    for (let name = names.shift(); name !== undefined; name = names.shift()) {
      try {
        manifests.push(await client.plugins.get(name));
      } catch (error) {
        if (!(error instanceof ApiError && error.status === 404)) throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: REQUESTS_MAX }, askNext));
  return manifests.sort((one, other) => (one.name < other.name ? -1 : 1));
}
