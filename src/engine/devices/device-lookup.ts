// engine, devices: reads the facts of the PCI devices that a request names, and checks that they exist.

import { LIMITS } from '../../config/limits.ts';
import { VolantError } from '../../lib/errors.ts';
import {
  isPciAddress,
  normalPciAddresses,
  PCI_ADDRESS_RULE,
} from '../../lib/formats/pci-address.ts';
import type { DeviceFacts, DeviceHost } from '../ports/device-ports.ts';
import { absent, refuse } from './device-rules.ts';

/** Facts of existing devices, without duplicates. Throws BODY_INVALID or DEVICE_NOT_FOUND. */
export async function lookUpDevices(
  host: Pick<DeviceHost, 'inspectDevices'>,
  addresses: readonly string[],
  field: 'pci_address' | 'pci_addresses' = 'pci_addresses',
): Promise<readonly DeviceFacts[]> {
  const details: Record<string, string> = {};
  for (const [index, address] of addresses.entries()) {
    if (isPciAddress(address)) continue;
    details[field === 'pci_addresses' ? `${field}[${index}]` : field] = PCI_ADDRESS_RULE;
  }
  if (addresses.length > LIMITS.devicesMax) {
    details[field] = `must have at most ${LIMITS.devicesMax} items`;
  }
  if (Object.keys(details).length > 0) {
    throw new VolantError('BODY_INVALID', undefined, { details });
  }
  const found = await host.inspectDevices(normalPciAddresses(addresses));
  refuse(found.filter(({ present }) => !present).map(({ address }) => absent(address)));
  return found;
}
