// cli, commands: `vms logs`: what the workload of a VM writes.

import type { Command } from 'commander';
import { parseCount } from '../arguments.ts';
import type { ShellMaker } from '../shell.ts';

/** The lines that the agent kept come at once; after so long without one there are no more. */
const QUIET_MS = 1000;

interface LogFlags {
  readonly follow?: true;
  readonly tail?: number;
  readonly timestamps?: true;
}

export function addVmLogs(vms: Command, shells: ShellMaker): void {
  vms
    .command('logs')
    .description('print what the workload has written')
    .argument('<vm>', 'name')
    .option('-f, --follow', 'go on with what it writes')
    .option('--tail <count>', 'only so many of the lines that are kept', parseCount)
    .option('--timestamps', 'put the time before each line')
    .action(
      shells.action<LogFlags>(async (shell, [name = ''], { follow, tail, timestamps }) => {
        // A WebSocket that is refused says little; this says what is wrong.
        await shell.client.vms.get(name);
        const lines = shell.client.sockets.logs(name, {
          ...(tail === undefined ? {} : { tail }),
          ...(follow ? {} : { quietMs: QUIET_MS }),
        });
        for await (const entry of lines) {
          const time = timestamps ? `${entry.timestamp} ` : '';
          shell.print(shell.json ? JSON.stringify(entry) : `${time}${entry.line}`);
        }
      }),
    );
}
