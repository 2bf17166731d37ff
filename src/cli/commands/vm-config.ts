// cli, commands: `vms config get`, `set` and `history`.

import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { ConfigHistory, ConfigPatch } from '../../client/types.ts';
import { parseCount, readConfig } from '../arguments.ts';
import type { ShellMaker } from '../shell-maker.ts';
import type { Column } from '../terminal/table.ts';

const COLUMNS: readonly Column<ConfigHistory[number]>[] = [
  { title: 'VERSION', of: ({ version }) => version },
  { title: 'UPDATED', of: ({ updated_at }) => updated_at },
  { title: 'PLUGIN', of: ({ config }) => config.plugin },
  { title: 'CPU', of: ({ config }) => config.resources?.cpu_cores },
  { title: 'MEMORY (MiB)', of: ({ config }) => config.resources?.memory_mb },
];

interface SetFlags {
  readonly file: string;
  readonly ifVersion?: number;
  readonly dryRun?: true;
}

export function addVmConfig(vms: Command, shells: ShellMaker): void {
  const config = vms.command('config').description('configs of VMs and their versions');
  config
    .command('get')
    .description('print the newest config, as JSON')
    .argument('<vm>', 'name')
    .option('--raw', 'include its version and date')
    .option('--output <file>', 'write the config to a file instead')
    .action(
      shells.action<{ raw?: true; output?: string }>(async (shell, [name = ''], flags) => {
        const envelope = await shell.client.configs.get(name);
        const shown = flags.raw ? envelope : envelope.config;
        if (flags.output === undefined) return shell.printJson(shown);
        await writeFile(flags.output, `${JSON.stringify(shown, null, 2)}\n`);
        shell.note(`version ${envelope.version} written to ${flags.output}`);
      }),
    );
  config
    .command('set')
    .description('change members of a config; members that the file does not have are unchanged')
    .argument('<vm>', 'name')
    .requiredOption('--file <file>', 'the members to change, as JSON; "-" is standard input')
    .option('--if-version <version>', 'only if this is the newest version', parseCount)
    .option('--dry-run', 'print what would be done, and do nothing')
    .action(
      shells.action<SetFlags>(async (shell, [name = ''], { file, ifVersion, dryRun }) => {
        const patch = (await readConfig(file, shell.streams.stdin)) as ConfigPatch;
        const options = ifVersion === undefined ? {} : { ifVersion };
        const { configs } = shell.client;
        if (dryRun) return shell.printJson(await configs.planUpdate(name, patch, options));
        const envelope = await configs.update(name, patch, options);
        const later = envelope.pending_restart ? '; takes effect at the next start' : '';
        shell.say(envelope, `${name}  version ${envelope.version}${later}`);
      }),
    );
  config
    .command('history')
    .description('list the stored versions, newest first')
    .argument('<vm>', 'name')
    .option('--limit <count>', 'maximum number of rows', parseCount)
    .action(
      shells.action<{ limit?: number }>(async (shell, [name = ''], options) => {
        const versions = await shell.client.configs.history(name, options);
        shell.printRows(versions, COLUMNS, 'No versions.');
      }),
    );
}
