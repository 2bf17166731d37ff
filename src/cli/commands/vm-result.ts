// cli, commands: `vms result`: the result that a guest has posted to its metadata service.

import type { Command } from 'commander';
import type { ShellMaker } from '../shell-maker.ts';

export function addVmResult(vms: Command, shells: ShellMaker): void {
  vms
    .command('result')
    .description('print the newest result that the guest has posted')
    .argument('<vm>', 'name')
    .action(
      shells.action(async (shell, [name = '']) => {
        const result = await shell.client.vms.result(name);
        shell.say(result, result.body.trimEnd());
      }),
    );
}
