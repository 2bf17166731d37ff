// cli, commands: `vms start`, `stop`, `restart` and `delete`. Each takes several names.

import type { Command } from 'commander';
import type { EndOptions, Vm, WaitOptions } from '../../client/types.ts';
import { parseCount } from '../arguments.ts';
import { forEachName } from '../several.ts';
import type { Shell, ShellMaker } from '../shell.ts';
import { addWaitOptions, toWaitOptions, type WaitFlags } from './wait-options.ts';

type Move = (shell: Shell, name: string, options: WaitOptions & EndOptions) => Promise<Vm>;

interface EndFlags {
  readonly grace?: number;
}

const MOVES: readonly {
  readonly command: string;
  readonly doing: string;
  readonly description: string;
  readonly waits: boolean;
  readonly ends: boolean;
  readonly move: Move;
}[] = [
  {
    command: 'start',
    doing: 'Starting',
    description: 'start stopped or crashed VMs',
    waits: true,
    ends: false,
    move: (shell, name, options) => shell.client.vms.start(name, options),
  },
  {
    command: 'stop',
    doing: 'Stopping',
    description: 'stop running VMs; their disks stay',
    waits: false,
    ends: true,
    move: (shell, name, options) => shell.client.vms.stop(name, options),
  },
  {
    command: 'restart',
    doing: 'Restarting',
    description: 'stop VMs and start them with their newest config',
    waits: true,
    ends: true,
    move: (shell, name, options) => shell.client.vms.restart(name, options),
  },
];

export function addVmLifecycle(vms: Command, shells: ShellMaker): void {
  for (const { command, doing, description, waits, ends, move } of MOVES) {
    const added = vms.command(command).description(description).argument('<vm...>', 'names');
    if (waits) addWaitOptions(added);
    if (ends) addGraceOption(added);
    added.action(
      shells.action<WaitFlags & EndFlags>(async (shell, names, flags) => {
        await forEachName(shell, names, async (name) => {
          const work = move(shell, name, { ...toWaitOptions(flags), ...toEndOptions(flags) });
          const vm = await shell.progressOf(name, `${doing} ${name}`, work);
          const pid = vm.pid === undefined ? '' : `  pid ${vm.pid}`;
          shell.say(vm, `${vm.name}  ${vm.status}${pid}`);
        });
      }),
    );
  }
  const removal = vms
    .command('delete')
    .alias('rm')
    .description('delete VMs and everything they have')
    .argument('<vm...>', 'names');
  addGraceOption(removal).action(
    shells.action<EndFlags>(async (shell, names, flags) => {
      await forEachName(shell, names, async (name) => {
        const work = shell.client.vms.destroy(name, toEndOptions(flags));
        await shell.progress(`Deleting ${name}`, work);
        shell.say({ name, deleted: true }, `${name}  deleted`);
      });
    }),
  );
}

function addGraceOption(command: Command): Command {
  const description = 'how long the guest gets to power off; 0 ends it at once';
  return command.option('--grace <seconds>', description, parseCount);
}

function toEndOptions({ grace }: EndFlags): EndOptions {
  return grace === undefined ? {} : { graceSeconds: grace };
}
