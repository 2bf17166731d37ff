// cli, commands: `execs`: the programs that were run in a VM, those that run and those that have ended.

import type { Command } from 'commander';
import type { Exec } from '../../client/types.ts';
import type { Shell } from '../shell.ts';
import type { ShellMaker } from '../shell-maker.ts';

export function addExecs(program: Command, shells: ShellMaker): void {
  const execs = program.command('execs').description('programs that were run in VMs by exec');
  execs
    .command('list')
    .alias('ls')
    .description('list those that a guest keeps')
    .argument('<vm>', 'name')
    .action(
      shells.action(async (shell, [vm = '']) => {
        const columns = [
          { title: 'ID', of: ({ id }: Exec) => id },
          { title: 'STATE', of: ({ state }: Exec) => state },
          { title: 'STATUS', of: statusOf },
          { title: 'STARTED', of: (exec: Exec) => exec.started_at ?? '' },
          { title: 'PROGRAM', of: ({ argv }: Exec) => argv.join(' ') },
        ];
        shell.printRows(await shell.client.execs.list(vm), columns, 'No program was run.');
      }),
    );
  execs
    .command('output')
    .description('print the output that is kept')
    .argument('<vm>', 'name')
    .argument('<id>', 'of the exec')
    .option('-f, --follow', 'continue with new output until the program ends')
    .action(
      shells.action<{ readonly follow?: true }>(async (shell, [vm = '', id = ''], { follow }) =>
        follow === true ? followOutput(shell, vm, id) : printOutput(shell, vm, id),
      ),
    );
  execs
    .command('signal')
    .description('send a signal to the process group of a program')
    .argument('<vm>', 'name')
    .argument('<id>', 'of the exec')
    .argument('[signal]', 'such as SIGINT; SIGTERM by default')
    .action(
      shells.action(async (shell, [vm = '', id = '', signal = 'SIGTERM']) => {
        await shell.client.execs.signal(vm, id, signal);
        shell.say({ id, signal }, `Sent ${signal} to exec ${id}.`);
      }),
    );
  execs
    .command('delete')
    .alias('rm')
    .description('forget a program, and kill it if it runs')
    .argument('<vm>', 'name')
    .argument('<id>', 'of the exec')
    .action(
      shells.action(async (shell, [vm = '', id = '']) => {
        await shell.client.execs.delete(vm, id);
        shell.say({ id }, `Deleted exec ${id}.`);
      }),
    );
}

function statusOf({ state, exit_code: code, signal }: Exec): string {
  if (state !== 'exited') return '';
  return code === null ? (signal ?? '') : String(code);
}

async function printOutput(shell: Shell, vm: string, id: string): Promise<void> {
  for (const stream of ['stdout', 'stderr'] as const) {
    for (let offset = 0; ; ) {
      const part = await shell.client.execs.output(vm, id, { stream, offset });
      if (part.bytes.length === 0) break;
      await write(shell, stream, part.bytes);
      offset = part.next;
    }
  }
}

async function followOutput(shell: Shell, vm: string, id: string): Promise<void> {
  for await (const event of shell.client.execs.follow(vm, id)) {
    if (event.type !== 'end') await write(shell, event.type, event.bytes);
  }
}

/** Waits for a slow reader. */
function write(shell: Shell, stream: 'stdout' | 'stderr', bytes: Uint8Array): Promise<void> {
  const target = shell.streams[stream];
  if (target.write(bytes)) return Promise.resolve();
  return new Promise((resolve) => target.once('drain', () => resolve()));
}
