// engine: PCI devices that a request names, looked at: they must be named rightly and exist.

import { LIMITS } from '../../config.ts';
import { VolantError } from '../../lib/errors.ts';
import { isPciAddress, normalPciAddresses, PCI_ADDRESS_RULE } from '../../lib/pci-address.ts';
import type { DeviceFacts } from '../device-ports.ts';
import type { HostPort } from '../ports.ts';
import { absent, refuse } from './device-rules.ts';

/** Facts of devices that exist, each once. BODY_INVALID, DEVICE_NOT_FOUND. */
export async function lookAtDevices(
  host: HostPort,
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
