// cli, commands: `vms console`: the terminal is the guest's until the detach key.

import type { Command } from 'commander';
import type { Console } from '../../client/sockets.ts';
import type { Shell, ShellMaker } from '../shell.ts';

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
        await shell.client.vms.get(name);
        const { stdout } = shell.streams;
        const attached = await shell.client.sockets.console(name, {
          onOutput: (bytes) => void stdout.write(bytes),
        });
        shell.note(`Connected to ${name}; Ctrl-] detaches.`);
        await attach(shell, attached);
        shell.note('\r\nDetached.');
      }),
    );
}

/** Resolves when the user detached, or when the console was closed. */
async function attach({ streams: { stdin } }: Shell, attached: Console): Promise<void> {
  const onData = (chunk: Buffer) => {
    const at = chunk.indexOf(DETACH);
    const typed = at < 0 ? chunk : chunk.subarray(0, at);
    if (typed.length > 0) attached.write(new Uint8Array(typed));
    if (at >= 0) attached.close();
  };
  // Raw: every key goes to the guest, Ctrl-C included.
  stdin.setRawMode?.(true);
  stdin.on('data', onData);
  try {
    await attached.closed;
  } finally {
    stdin.off('data', onData);
    stdin.setRawMode?.(false);
    // Otherwise standard input would keep the process alive.
    stdin.destroy();
  }
}
