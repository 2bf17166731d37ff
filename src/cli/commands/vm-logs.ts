// cli, commands: `vms logs`: the output of the workload of a VM.

import { setTimeout as pause } from 'node:timers/promises';
import type { Command } from 'commander';
import { ConnectionError } from '../../client/errors.ts';
import { parseCount } from '../arguments.ts';
import type { Shell } from '../shell.ts';
import type { ShellMaker } from '../shell-maker.ts';
import { requireOutput } from './vm-output.ts';

/** Lines that the agent has stored arrive at once; after this much silence there are no more. */
const QUIET_MS = 1000;

/** Pause between two attempts to reach the agent of a guest that boots. */
const AGENT_PAUSE_MS = 500;

/** Close code if the agent cannot be reached now (RFC 6455, IANA registry). */
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
    .description('print the output of the workload')
    .argument('<vm>', 'name')
    .option('-f, --follow', 'continue with new output')
    .option('--tail <count>', 'only this many of the stored lines', parseCount)
    .option('--timestamps', 'print the time before each line')
    .option('--last', 'the end of its console output, also after the VM has ended')
    .action(
      shells.socketAction<LogFlags>(async (shell, [name = ''], flags) => {
        if (flags.last) {
          const text = await shell.client.vms.consoleLog(name);
          return shell.say({ name, text }, text.trimEnd());
        }
        // The error of a refused WebSocket says little; this request returns the reason.
        let status = await requireOutput(shell, name);
        if (!flags.follow) {
          await printLines(shell, name, flags, () => undefined);
          return;
        }
        // The agent of a new VM cannot be reached yet.
        while (status !== 'running' || !(await followed(shell, name, flags))) {
          await pause(AGENT_PAUSE_MS);
          status = await requireOutput(shell, name);
        }
      }),
    );
}

/** Prints lines until the VM ends. false: its agent could not be reached yet. */
async function followed(shell: Shell, name: string, flags: LogFlags): Promise<boolean> {
  let printed = 0;
  try {
    await printLines(shell, name, flags, () => {
      printed += 1;
    });
    return true;
  } catch (error) {
    // The same code also ends the stream of a reader that is too slow.
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
