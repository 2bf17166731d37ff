// cli, commands: `vms logs`: what the workload of a VM writes.

import { setTimeout as pause } from 'node:timers/promises';
import type { Command } from 'commander';
import { ConnectionError } from '../../client/errors.ts';
import { parseCount } from '../arguments.ts';
import type { Shell, ShellMaker } from '../shell.ts';
import { requireOutput } from './vm-output.ts';

/** The lines that the agent kept come at once; after so long without one there are no more. */
const QUIET_MS = 1000;

/** Between two tries to reach the agent of a guest that boots. */
const AGENT_PAUSE_MS = 500;

/** Close code of a log whose agent cannot be asked now (RFC 6455, IANA registry). */
const TRY_LATER = 1013;

interface LogFlags {
  readonly follow?: true;
  readonly tail?: number;
  readonly timestamps?: true;
  readonly last?: true;
}

export function addVmLogs(vms: Command, shells: ShellMaker): void {
  vms
    .command('logs')
    .description('print what the workload has written')
    .argument('<vm>', 'name')
    .option('-f, --follow', 'go on with what it writes')
    .option('--tail <count>', 'only so many of the lines that are kept', parseCount)
    .option('--timestamps', 'put the time before each line')
    .option('--last', 'what its console showed last, also after the VM has ended')
    .action(
      shells.action<LogFlags>(async (shell, [name = ''], flags) => {
        if (flags.last) {
          const text = await shell.client.vms.consoleLog(name);
          return shell.say({ name, text }, text.trimEnd());
        }
        // A WebSocket that is refused says little; this says what is wrong.
        let status = await requireOutput(shell, name);
        if (!flags.follow) {
          await printLines(shell, name, flags, () => undefined);
          return;
        }
        // The agent of a VM that was made just now cannot be asked yet.
        while (status !== 'running' || !(await followed(shell, name, flags))) {
          await pause(AGENT_PAUSE_MS);
          status = await requireOutput(shell, name);
        }
      }),
    );
}

/** Prints what comes, until the VM ends. false: its agent could not be asked yet. */
async function followed(shell: Shell, name: string, flags: LogFlags): Promise<boolean> {
  let printed = 0;
  try {
    await printLines(shell, name, flags, () => {
      printed += 1;
    });
    return true;
  } catch (error) {
    // The same code ends the stream of a reader that is too slow.
    const isEarly = error instanceof ConnectionError && error.closeCode === TRY_LATER;
    if (isEarly && printed === 0) return false;
    throw error;
  }
}

async function printLines(
  shell: Shell,
  name: string,
  { follow, tail, timestamps }: LogFlags,
  onLine: () => void,
): Promise<void> {
  const lines = shell.client.sockets.logs(name, {
    ...(tail === undefined ? {} : { tail }),
    ...(follow ? {} : { quietMs: QUIET_MS }),
  });
  for await (const entry of lines) {
    onLine();
    const time = timestamps ? `${entry.timestamp} ` : '';
    shell.print(shell.json ? JSON.stringify(entry) : `${time}${entry.line}`);
  }
}
