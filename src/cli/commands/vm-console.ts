// cli, commands: `vms console`: connects the terminal to the guest's console until the detach key.

import type { Command } from 'commander';
import type { Console } from '../../client/sockets.ts';
import { PrintedFailure } from '../exit.ts';
import type { Shell } from '../shell.ts';
import type { ShellMaker } from '../shell-maker.ts';
import { requireOutput } from './vm-output.ts';

/** Ctrl-]: no shell or editor needs it, and it is known from telnet. */
const DETACH = 0x1d;

export function addVmConsole(vms: Command, shells: ShellMaker): void {
  vms
    .command('console')
    .description('attach this terminal to the console of a VM; Ctrl-] detaches')
    .argument('<vm>', 'name')
    .action(
      shells.socketAction(async (shell, [name = '']) => {
        // The error of a refused WebSocket says little; this request returns the reason.
        await requireOutput(shell, name);
        const { stdout } = shell.streams;
        const attached = await shell.client.sockets.console(name, {
          onOutput: (bytes) => void stdout.write(bytes),
        });
        shell.note(`Connected to ${name}; Ctrl-] detaches.`);
        const end = await attach(shell, attached);
        if (end !== null) throw new PrintedFailure(tellEnd(shell, name, end));
        shell.note('\r\nDetached.');
      }),
    );
}

/** Prints why the guest or the daemon ended the console, without a detach. */
function tellEnd(shell: Shell, name: string, reason: string): string {
  const message = `The console of ${name} has ended: ${reason || 'the connection was closed'}`;
  shell.note(`\r\nvolar: ${message}`);
  return message;
}

/** null if the user detached; otherwise the reason why the console was closed. */
async function attach({ streams: { stdin } }: Shell, attached: Console): Promise<string | null> {
  let isDetached = false;
  const onData = (chunk: Buffer) => {
    const at = chunk.indexOf(DETACH);
    const typed = at < 0 ? chunk : chunk.subarray(0, at);
    if (typed.length > 0) attached.write(new Uint8Array(typed));
    if (at < 0) return;
    isDetached = true;
    attached.close();
  };
  // Raw mode: every key goes to the guest, including Ctrl-C.
  stdin.setRawMode?.(true);
  stdin.on('data', onData);
  try {
    const reason = await attached.closed;
    return isDetached ? null : reason;
  } finally {
    stdin.off('data', onData);
    stdin.setRawMode?.(false);
    // Otherwise standard input would keep the process alive.
    stdin.destroy();
  }
}
