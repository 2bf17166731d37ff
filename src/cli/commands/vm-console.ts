// cli, commands: `vms console`: the terminal is the guest's until the detach key.

import type { Command } from 'commander';
import type { Console } from '../../client/sockets.ts';
import { ToldFailure } from '../exit.ts';
import type { Shell, ShellMaker } from '../shell.ts';
import { requireOutput } from './vm-output.ts';

/** Ctrl-]: no shell or editor needs it, and telnet has made it known. */
const DETACH = 0x1d;

export function addVmConsole(vms: Command, shells: ShellMaker): void {
  vms
    .command('console')
    .description('attach this terminal to the console of a VM; Ctrl-] detaches')
    .argument('<vm>', 'name')
    .action(
      shells.action(async (shell, [name = '']) => {
        // A WebSocket that is refused says little; this says what is wrong.
        await requireOutput(shell, name);
        const { stdout } = shell.streams;
        const attached = await shell.client.sockets.console(name, {
          onOutput: (bytes) => void stdout.write(bytes),
        });
        shell.note(`Connected to ${name}; Ctrl-] detaches.`);
        const end = await attach(shell, attached);
        if (end !== null) throw new ToldFailure(tellEnd(shell, name, end));
        shell.note('\r\nDetached.');
      }),
    );
}

/** The guest or the daemon ended it: nobody has detached. */
function tellEnd(shell: Shell, name: string, reason: string): string {
  const told = `The console of ${name} has ended: ${reason || 'the connection was closed'}`;
  shell.note(`\r\nvolar: ${told}`);
  return told;
}

/** null when the user detached; when the console was closed, why. */
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
  // Raw: every key goes to the guest, Ctrl-C included.
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
