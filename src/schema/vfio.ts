// schema: PCI devices that can be passed to a VM by VFIO, and the requests about them.

import { type Static, Type } from 'typebox';
import { PCI_ADDRESS_PATTERN, Text, Warnings } from './parts.ts';

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

/** The request of a check. An invalid address or pattern is one of the problems in its answer. */
export const DevicesCheckSchema = Type.Object(
  {
    pci_addresses: Type.Array(Type.String(), {
      description: 'PCI addresses, such as 0000:01:00.0; invalid ones are reported in errors',
    }),
    allowlist: Type.Optional(
      Type.Array(Type.String(), {
        description:
          'vendor:device or vendor:*, in hexadecimal digits, or addresses; invalid ones are reported in errors',
      }),
    ),
  },
  { $id: 'PciAddressesCheck' },
);

export const DeviceGroupsRequestSchema = Type.Object(
  {
    pci_addresses: Addresses,
    allowlist: Type.Optional(
      Type.Array(Type.String(), { description: 'Accepted from older clients, and ignored' }),
    ),
  },
  { $id: 'PciAddressesOfGroups' },
);

export type DevicesCheck = Static<typeof DevicesCheckSchema>;

export const DeviceInfoSchema = Type.Object(
  {
    address: Type.String(),
    vendor: Type.String({ description: 'Hexadecimal digits' }),
    device: Type.String({ description: 'Hexadecimal digits' }),
    driver: Type.String({ description: 'Empty if no driver is bound' }),
    iommu_group: Type.String({ description: 'Empty without an IOMMU' }),
    numa_node: Type.String({ description: '-1 if it belongs to none' }),
    warnings: Type.Optional(Warnings),
  },
  { $id: 'DeviceInfo' },
);

export type DeviceInfo = Static<typeof DeviceInfoSchema>;

export const DevicesValidSchema = Type.Object(
  {
    valid: Type.Boolean(),
    message: Type.String(),
    errors: Type.Optional(Type.Array(Type.String(), { description: 'Every problem' })),
    warnings: Type.Optional(Warnings),
  },
  { $id: 'DevicesValid' },
);

export type DevicesValid = Static<typeof DevicesValidSchema>;

export const IommuGroupSchema = Type.Object(
  {
    id: Type.String(),
    devices: Type.Array(Type.String(), { description: 'All devices of the group' }),
  },
  { $id: 'IOMMUGroup' },
);

export type IommuGroup = Static<typeof IommuGroupSchema>;

export const DevicesBoundSchema = Type.Object(
  {
    success: Type.Boolean(),
    message: Type.String(),
    bound_devices: Type.Array(Type.String()),
    warnings: Type.Optional(Warnings),
  },
  { $id: 'DevicesBound' },
);

export const DevicesUnboundSchema = Type.Object(
  {
    success: Type.Boolean(),
    message: Type.String(),
    unbound_devices: Type.Array(Type.String()),
    warnings: Type.Optional(Warnings),
  },
  { $id: 'DevicesUnbound' },
);

export const GroupPathsSchema = Type.Object(
  { group_paths: Type.Array(Type.String()), warnings: Type.Optional(Warnings) },
  { $id: 'GroupPaths' },
);
