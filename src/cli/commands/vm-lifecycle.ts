// cli, commands: `vms start`, `stop`, `restart` and `delete`. Each takes several names.

import type { Command } from 'commander';
import type { EndOptions, Vm, VmWaitFor, WaitOptions } from '../../client/types.ts';
import { parseCount } from '../arguments.ts';
import { forEachName } from '../for-each-name.ts';
import type { Shell } from '../shell.ts';
import type { ShellMaker } from '../shell-maker.ts';
import { statusText } from './vm-rows.ts';
import { addVmWaitOptions, toWaitOptions, type WaitFlags } from './wait-options.ts';

type Move = (
  shell: Shell,
  name: string,
  options: WaitOptions<VmWaitFor> & EndOptions,
) => Promise<Vm>;

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
    if (waits) addVmWaitOptions(added);
    if (ends) addGraceOption(added);
    added.action(
      shells.action<WaitFlags<VmWaitFor> & EndFlags>(async (shell, names, flags) => {
        await forEachName(shell, names, async (name) => {
          const work = move(shell, name, { ...toWaitOptions(flags), ...toEndOptions(flags) });
          const vm = await shell.progressOf({ kind: 'VM', name }, `${doing} ${name}`, work);
          const pid = vm.pid === undefined ? '' : `  pid ${vm.pid}`;
          shell.say(vm, `${vm.name}  ${statusText(vm)}${pid}`);
        });
      }),
    );
  }
  const removal = vms
    .command('delete')
    .alias('rm')
    .description('delete VMs with their disks and configs')
    .argument('<vm...>', 'names');
  addGraceOption(removal).action(
    shells.action<EndFlags>(async (shell, names, flags) => {
      await forEachName(shell, names, async (name) => {
        const work = shell.client.vms.destroy(name, toEndOptions(flags));
        await shell.progress(`Deleting ${name}`, work, { ask: `volar events --name ${name}` });
        shell.say({ name, deleted: true }, `${name}  deleted`);
      });
    }),
  );
}

function addGraceOption(command: Command): Command {
  const description = 'grace period for the guest to power off; 0 ends it immediately';
  return command.option('--grace <seconds>', description, parseCount);
}

function toEndOptions({ grace }: EndFlags): EndOptions {
  return grace === undefined ? {} : { graceSeconds: grace };
}
