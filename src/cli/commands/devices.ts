// cli, commands: `volar devices`: PCI devices of the host, for guests.

import type { Command } from 'commander';
import type { VfioDeviceInfo } from '../../client/vfio.ts';
import { collect } from '../arguments.ts';
import { PrintedFailure } from '../exit.ts';
import type { ShellMaker } from '../shell-maker.ts';
import type { Column } from '../terminal/table.ts';

const COLUMNS: readonly Column<VfioDeviceInfo>[] = [
  { title: 'ADDRESS', of: ({ address }) => address },
  { title: 'ID', of: ({ vendor, device }) => `${vendor}:${device}` },
  { title: 'DRIVER', of: ({ driver }) => driver || '-' },
  { title: 'GROUP', of: ({ iommu_group }) => iommu_group || '-' },
  { title: 'NUMA', of: ({ numa_node }) => numa_node },
];

const ADDRESSES = '<address...>';
const ADDRESS_HELP = 'PCI addresses with their domain, such as 0000:01:00.0';

export function addDevices(program: Command, shells: ShellMaker): void {
  const devices = program
    .command('devices')
    .alias('device')
    .description('PCI devices of the host that can be passed to VMs');
  addQueries(devices, shells);
  addChanges(devices, shells);
}

function addQueries(devices: Command, shells: ShellMaker): void {
  devices
    .command('show')
    .alias('info')
    .description('ids, driver and IOMMU group')
    .argument(ADDRESSES, ADDRESS_HELP)
    .action(
      shells.action(async (shell, addresses) => {
        const asked = addresses.map((address) => shell.client.vfio.info(address));
        shell.printRows(await Promise.all(asked), COLUMNS, 'No devices.');
      }),
    );
  devices
    .command('check')
    .alias('validate')
    .description('list the problems of passing these devices to one VM')
    .argument(ADDRESSES, ADDRESS_HELP)
    .option('--allowlist <pattern>', 'devices that may be used; may be repeated', collect)
    .action(
      shells.action<{ allowlist?: string[] }>(async (shell, addresses, { allowlist }) => {
        const options = allowlist === undefined ? {} : { allowlist };
        const verdict = await shell.client.vfio.validate(addresses, options);
        shell.say(verdict, [verdict.message, ...(verdict.errors ?? []).slice(1)].join('\n'));
        if (!verdict.valid) throw new PrintedFailure(verdict.message);
      }),
    );
  devices
    .command('groups')
    .description('show the complete IOMMU groups of these devices')
    .argument(ADDRESSES, ADDRESS_HELP)
    .action(
      shells.action(async (shell, addresses) => {
        const groups = await shell.client.vfio.iommuGroups(addresses);
        const columns = [
          { title: 'GROUP', of: ({ id }: (typeof groups)[number]) => id },
          { title: 'DEVICES', of: (group: (typeof groups)[number]) => group.devices.join(' ') },
        ];
        shell.printRows(groups, columns, 'No groups.');
      }),
    );
  devices
    .command('paths')
    .description('show the /dev/vfio paths of bound devices')
    .argument(ADDRESSES, ADDRESS_HELP)
    .action(
      shells.action(async (shell, addresses) => {
        const paths = await shell.client.vfio.groupPaths(addresses);
        shell.say(paths, paths.join('\n'));
      }),
    );
}

function addChanges(devices: Command, shells: ShellMaker): void {
  devices
    .command('bind')
    .description('bind devices to vfio-pci for programs outside of Volant; all or none')
    .argument(ADDRESSES, ADDRESS_HELP)
    .action(
      shells.action(async (shell, addresses) => {
        const work = shell.client.vfio.bind(addresses);
        const done = await shell.progress('Binding', work, { ask: 'volar devices list' });
        shell.say(done, done.bound_devices.map((address) => `${address}  bound`).join('\n'));
      }),
    );
  devices
    .command('unbind')
    .description('return devices to their earlier drivers')
    .argument(ADDRESSES, ADDRESS_HELP)
    .action(
      shells.action(async (shell, addresses) => {
        const work = shell.client.vfio.unbind(addresses);
        const done = await shell.progress('Unbinding', work, { ask: 'volar devices list' });
        const lines = done.unbound_devices.map((address) => `${address}  unbound`);
        shell.say(done, lines.join('\n') || 'None of them was bound.');
      }),
    );
}
