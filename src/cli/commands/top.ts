// cli, commands: `volar top`: what running VMs use, as a table that is drawn repeatedly, or once. Loaded on use: what
// it needs, no other command does.

import { type Command, Option } from 'commander';
import { parseDurationMs } from '../arguments.ts';
import { UsageError } from '../exit.ts';
import type { ShellMaker } from '../shell-maker.ts';
import type { TopOptions } from '../top/top-table.ts';

const ORDERS: readonly TopOptions['sort'][] = ['cpu', 'memory', 'network', 'disk', 'name'];

/** The daemon reads its figures about once a second. */
const INTERVAL_MIN_MS = 1_000;
const INTERVAL_MS = 2_000;

export function addTop(program: Command, shells: ShellMaker): void {
  program
    .command('top')
    .description('show what running VMs use, refreshed periodically; q ends')
    .addOption(new Option('--sort <key>', 'order of the rows').choices(ORDERS).default('cpu'))
    .option('--interval <duration>', 'time between two readings; 2s by default', parseInterval)
    .option('--once', 'print one table and end')
    .action(
      shells.action<Partial<TopOptions>>(async (shell, _args, options) => {
        const { showUsage } = await import('../top/top-table.ts');
        await showUsage(shell, { sort: 'cpu', interval: INTERVAL_MS, ...options });
      }),
    );
}

function parseInterval(text: string): number {
  const intervalMs = parseDurationMs(text);
  if (intervalMs >= INTERVAL_MIN_MS) return intervalMs;
  throw new UsageError(`${text} is too short: figures are read once a second`);
}
