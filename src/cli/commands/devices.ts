// cli, commands: `volar devices`: PCI devices of the host, for guests.

import type { Command } from 'commander';
import type { VfioDeviceInfo } from '../../client/vfio.ts';
import { collect } from '../arguments.ts';
import { ToldFailure } from '../exit.ts';
import type { ShellMaker } from '../shell.ts';
import type { Column } from '../table.ts';

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
    .description('PCI devices of the host that VMs can have');
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
    .description('say what is in the way of giving these to one VM')
    .argument(ADDRESSES, ADDRESS_HELP)
    .option('--allowlist <pattern>', 'devices that may be used; may be repeated', collect)
    .action(
      shells.action<{ allowlist?: string[] }>(async (shell, addresses, { allowlist }) => {
        const options = allowlist === undefined ? {} : { allowlist };
        const verdict = await shell.client.vfio.validate(addresses, options);
        shell.say(verdict, [verdict.message, ...(verdict.errors ?? []).slice(1)].join('\n'));
        if (!verdict.valid) throw new ToldFailure(verdict.message);
      }),
    );
  devices
    .command('groups')
    .description('the whole IOMMU groups of these')
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
    .description('the files below /dev/vfio of devices that are bound')
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
    .description('give devices to vfio-pci, for what runs outside of Volant; all or none')
    .argument(ADDRESSES, ADDRESS_HELP)
    .action(
      shells.action(async (shell, addresses) => {
        const work = shell.client.vfio.bind(addresses);
        const done = await shell.progress('Binding', work);
        shell.say(done, done.bound_devices.map((address) => `${address}  bound`).join('\n'));
      }),
    );
  devices
    .command('unbind')
    .description('give devices back to the drivers that they had')
    .argument(ADDRESSES, ADDRESS_HELP)
    .action(
      shells.action(async (shell, addresses) => {
        const work = shell.client.vfio.unbind(addresses);
        const done = await shell.progress('Unbinding', work);
        const lines = done.unbound_devices.map((address) => `${address}  unbound`);
        shell.say(done, lines.join('\n') || 'None of them was bound.');
      }),
    );
}
