// cli, commands: `vms deadline`: when VMs are deleted.

import type { Command } from 'commander';
import { parseSeconds } from '../arguments.ts';
import type { ShellMaker } from '../shell-maker.ts';

export function addVmDeadline(vms: Command, shells: ShellMaker): void {
  vms
    .command('deadline')
    .description('delete a VM after a time, whatever it does then')
    .argument('<vm>', 'name')
    .argument('<duration>', 'from now on, such as 30m or 2h; none: it stays')
    .action(
      shells.action(async (shell, [name = '', duration = '']) => {
        const seconds = duration === 'none' ? null : parseSeconds(duration);
        const vm = await shell.client.vms.setDeadline(name, seconds);
        const { deadline } = vm;
        shell.say(vm, `${name}  ${deadline === undefined ? 'stays' : `deleted at ${deadline}`}`);
      }),
    );
}
