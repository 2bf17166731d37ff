// cli, commands: `vms start`, `stop`, `restart` and `delete`. Each takes several names.

import type { Command } from 'commander';
import type { Vm, WaitOptions } from '../../client/types.ts';
import type { Shell, ShellMaker } from '../shell.ts';
import { addWaitOptions, toWaitOptions, type WaitFlags } from './wait-options.ts';

type Move = (shell: Shell, name: string, options: WaitOptions) => Promise<Vm>;

const MOVES: readonly {
  readonly command: string;
  readonly doing: string;
  readonly description: string;
  readonly waits: boolean;
  readonly move: Move;
}[] = [
  {
    command: 'start',
    doing: 'Starting',
    description: 'start stopped or crashed VMs',
    waits: true,
    move: (shell, name, options) => shell.client.vms.start(name, options),
  },
  {
    command: 'stop',
    doing: 'Stopping',
    description: 'stop running VMs; their disks stay',
    waits: false,
    move: (shell, name) => shell.client.vms.stop(name),
  },
  {
    command: 'restart',
    doing: 'Restarting',
    description: 'stop VMs and start them with their newest config',
    waits: true,
    move: (shell, name, options) => shell.client.vms.restart(name, options),
  },
];

export function addVmLifecycle(vms: Command, shells: ShellMaker): void {
  for (const { command, doing, description, waits, move } of MOVES) {
    const added = vms.command(command).description(description).argument('<vm...>', 'names');
    if (waits) addWaitOptions(added);
    added.action(
      shells.action<WaitFlags>(async (shell, names, flags) => {
        for (const name of names) {
          const work = move(shell, name, toWaitOptions(flags));
          const vm = await shell.progressOf(name, `${doing} ${name}`, work);
          const pid = vm.pid === undefined ? '' : `  pid ${vm.pid}`;
          shell.say(vm, `${vm.name}  ${vm.status}${pid}`);
        }
      }),
    );
  }
  vms
    .command('delete')
    .alias('rm')
    .description('delete VMs and everything they have')
    .argument('<vm...>', 'names')
    .action(
      shells.action(async (shell, names) => {
        for (const name of names) {
          await shell.progress(`Deleting ${name}`, shell.client.vms.destroy(name));
          shell.say({ name, deleted: true }, `${name}  deleted`);
        }
      }),
    );
}
