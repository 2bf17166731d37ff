// http, mcp: tools for PCI devices of the host.

import { Type } from 'typebox';
import { LIMITS } from '../../../config/limits.ts';
import {
  DeviceInfoSchema,
  DevicesValidSchema,
  GroupPathsSchema,
  IommuGroupSchema,
} from '../../../schema/vfio.ts';
import { listOf, outputOf } from './outputs.ts';
import { CHANGES, defineTool, INTERRUPTS, READS, type Tool } from './tool.ts';

const ADDRESSES = {
  pci_addresses: Type.Array(Type.String(), {
    minItems: 1,
    maxItems: LIMITS.devicesMax,
    description: 'PCI addresses with their domain, such as 0000:01:00.0',
  }),
};

export const DEVICE_TOOLS: readonly Tool[] = [
  defineTool({
    name: 'volant.devices.get',
    scope: 'admin',
    description: 'Show the ids, driver, IOMMU group and NUMA node of a PCI device of the host.',
    input: Type.Object({ pci_address: Type.String({ description: 'Such as 0000:01:00.0' }) }),
    output: outputOf(DeviceInfoSchema),
    hints: READS,
    run: ({ engine }, { pci_address }) => engine.devices.info(pci_address),
  }),
  defineTool({
    name: 'volant.devices.validate',
    scope: 'admin',
    description: 'List every problem that prevents passing these PCI devices to one VM.',
    input: Type.Object({
      ...ADDRESSES,
      allowlist: Type.Optional(
        Type.Array(Type.String(), { description: 'Addresses, vendor:device or vendor:*' }),
      ),
    }),
    output: outputOf(DevicesValidSchema),
    hints: READS,
    run: ({ engine }, check) => engine.devices.validate(check),
  }),
  defineTool({
    name: 'volant.devices.groups',
    scope: 'admin',
    description:
      'List the complete IOMMU groups of PCI devices: all devices of a group are passed to one VM together.',
    input: Type.Object(ADDRESSES),
    output: listOf('groups', IommuGroupSchema),
    hints: READS,
    run: async ({ engine }, { pci_addresses }) => ({
      groups: await engine.devices.groups(pci_addresses),
    }),
  }),
  defineTool({
    name: 'volant.devices.group_paths',
    scope: 'admin',
    description: 'List the /dev/vfio paths of PCI devices that are bound.',
    input: Type.Object(ADDRESSES),
    output: outputOf(GroupPathsSchema),
    hints: READS,
    run: async ({ engine }, { pci_addresses }) => ({
      group_paths: await engine.devices.groupPaths(pci_addresses),
    }),
  }),
  defineTool({
    name: 'volant.devices.bind',
    scope: 'admin',
    description:
      'Bind PCI devices to vfio-pci for programs outside of Volant, all or none. Devices of VMs are bound automatically.',
    input: Type.Object(ADDRESSES),
    output: listOf('bound_devices', Type.String()),
    hints: INTERRUPTS,
    run: async ({ engine, cause }, { pci_addresses }) => ({
      bound_devices: await engine.devices.bind(pci_addresses, cause),
    }),
  }),
  defineTool({
    name: 'volant.devices.unbind',
    scope: 'admin',
    description: 'Return PCI devices to their earlier drivers.',
    input: Type.Object(ADDRESSES),
    output: listOf('unbound_devices', Type.String()),
    hints: CHANGES,
    run: async ({ engine, cause }, { pci_addresses }) => {
      const { done, failure } = await engine.devices.unbind(pci_addresses, cause);
      if (failure !== null) throw failure;
      return { unbound_devices: done };
    },
  }),
];
