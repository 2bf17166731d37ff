// cli, commands: `vms scale`: changes the size of one VM, or the number of VMs of a deployment.

import type { Command } from 'commander';
import { parseCount, parseMemoryMb } from '../arguments.ts';
import { readyText } from '../deployment-text.ts';
import { UsageError } from '../exit.ts';
import type { ShellMaker } from '../shell-maker.ts';

interface ScaleFlags {
  readonly cpu?: number;
  readonly memory?: number;
  readonly restart?: true;
  readonly replicas?: number;
}

export function addVmScale(vms: Command, shells: ShellMaker): void {
  vms
    .command('scale')
    .description('change the size of a VM, or the replicas of a deployment')
    .argument('<vm>', 'name')
    .option('--cpu <count>', 'vCPUs', parseCount)
    .option('--memory <MiB>', 'memory, such as 512 or 2G', parseMemoryMb)
    .option('--restart', 'restart the VM, so that the new size takes effect')
    .option('--replicas <count>', 'replicas of the deployment of this name', parseCount)
    .action(
      shells.action<ScaleFlags>(async (shell, [name = ''], { cpu, memory, restart, replicas }) => {
        const sized = cpu !== undefined || memory !== undefined;
        if (!sized && replicas === undefined) {
          throw new UsageError('Nothing to change: give --cpu, --memory or --replicas');
        }
        if (sized) {
          const resources = {
            ...(cpu === undefined ? {} : { cpu_cores: cpu }),
            ...(memory === undefined ? {} : { memory_mb: memory }),
          };
          const envelope = await shell.client.configs.update(name, { resources });
          const { cpu_cores, memory_mb } = envelope.config.resources ?? {};
          const size = `${cpu_cores} vCPU, ${memory_mb} MiB`;
          const later =
            envelope.pending_restart && !restart ? '; takes effect at the next start' : '';
          shell.say(envelope, `${name}  ${size} in version ${envelope.version}${later}`);
        }
        if (sized && restart) {
          const vm = await shell.progressOf(
            { kind: 'VM', name },
            `Restarting ${name}`,
            shell.client.vms.restart(name),
          );
          shell.say(vm, `${name}  ${vm.status}`);
        }
        if (replicas !== undefined) {
          const work = shell.client.deployments.scale(name, replicas);
          const place = { kind: 'Deployment', name } as const;
          const deployment = await shell.progressOf(place, `Scaling ${name}`, work);
          shell.say(deployment, `${name}  ${readyText(deployment)}`);
        }
      }),
    );
}
