// schema: PCI devices that can be handed to a VM by VFIO, and what is asked about them.

import { type Static, Type } from 'typebox';
import { DEVICE_PATTERN_PATTERN, PCI_ADDRESS_PATTERN, Text } from './parts.ts';

const Addresses = Type.Array(Text(PCI_ADDRESS_PATTERN), {
  description: 'PCI addresses, such as 0000:01:00.0',
});

export const DeviceInfoRequestSchema = Type.Object(
  { pci_address: Text(PCI_ADDRESS_PATTERN) },
  { $id: 'PciAddress' },
);

export const DevicesRequestSchema = Type.Object(
  { pci_addresses: Addresses },
  { $id: 'PciAddresses' },
);

export const DevicesCheckSchema = Type.Object(
  {
    pci_addresses: Addresses,
    allowlist: Type.Optional(
      Type.Array(Text(DEVICE_PATTERN_PATTERN), {
        description: 'vendor:device or vendor:*, in hexadecimal digits',
      }),
    ),
  },
  { $id: 'PciAddressesCheck' },
);

export type DevicesCheck = Static<typeof DevicesCheckSchema>;

export const DeviceInfoSchema = Type.Object(
  {
    address: Type.String(),
    vendor: Type.String({ description: 'Hexadecimal digits' }),
    device: Type.String({ description: 'Hexadecimal digits' }),
    driver: Type.String({ description: 'Empty when no driver has it' }),
    iommu_group: Type.String({ description: 'Empty without an IOMMU' }),
    numa_node: Type.String({ description: '-1 when it belongs to none' }),
  },
  { $id: 'DeviceInfo' },
);

export type DeviceInfo = Static<typeof DeviceInfoSchema>;

export const DevicesValidSchema = Type.Object(
  {
    valid: Type.Boolean(),
    message: Type.String(),
    errors: Type.Optional(Type.Array(Type.String(), { description: 'Every problem' })),
  },
  { $id: 'DevicesValid' },
);

export type DevicesValid = Static<typeof DevicesValidSchema>;

export const IommuGroupSchema = Type.Object(
  {
    id: Type.String(),
    devices: Type.Array(Type.String(), { description: 'Every device of the group' }),
  },
  { $id: 'IOMMUGroup' },
);

export type IommuGroup = Static<typeof IommuGroupSchema>;

export const DevicesBoundSchema = Type.Object(
  {
    success: Type.Boolean(),
    message: Type.String(),
    bound_devices: Type.Array(Type.String()),
  },
  { $id: 'DevicesBound' },
);

export const DevicesUnboundSchema = Type.Object(
  {
    success: Type.Boolean(),
    message: Type.String(),
    unbound_devices: Type.Array(Type.String()),
  },
  { $id: 'DevicesUnbound' },
);

export const GroupPathsSchema = Type.Object(
  { group_paths: Type.Array(Type.String()) },
  { $id: 'GroupPaths' },
);
