// engine, devices: the API's queries about PCI devices. Nothing here changes anything.

import { LIMITS } from '../../config/limits.ts';
import type { Config } from '../../config.ts';
import {
  DEVICE_PATTERN_RULE,
  isDevicePattern,
  isPciAddress,
  normalPciAddresses,
  PCI_ADDRESS_RULE,
} from '../../lib/formats/pci-address.ts';
import type { DeviceInfo, DevicesCheck, DevicesValid, IommuGroup } from '../../schema/vfio.ts';
import type { DeviceApi } from '../engine-api.ts';
import type { DeviceFacts, DeviceHost } from '../ports/device-ports.ts';
import type { DeviceLedger } from './device-ledger.ts';
import { lookUpDevices } from './device-lookup.ts';
import { problem, problemsOf, refuse, withoutGroup } from './device-rules.ts';

export class DeviceQueries
  implements Pick<DeviceApi, 'info' | 'validate' | 'groups' | 'groupPaths'>
{
  readonly #host: DeviceHost;
  readonly #ledger: DeviceLedger;
  readonly #vfioAllow: Config['vfioAllow'];

  constructor(host: DeviceHost, ledger: DeviceLedger, vfioAllow: Config['vfioAllow']) {
    this.#host = host;
    this.#ledger = ledger;
    this.#vfioAllow = vfioAllow;
  }

  async info(address: string): Promise<DeviceInfo> {
    const [facts] = await lookUpDevices(this.#host, [address], 'pci_address');
    if (facts === undefined) throw new Error('a device that was inspected is missing');
    return {
      address: facts.address,
      vendor: facts.vendor,
      device: facts.device,
      driver: facts.driver,
      iommu_group: facts.iommuGroup,
      numa_node: facts.numaNode,
    };
  }

  async validate({ pci_addresses, allowlist = [] }: DevicesCheck): Promise<DevicesValid> {
    const together = normalPciAddresses(pci_addresses.filter(isPciAddress));
    const found = await this.#host.inspectDevices(together.slice(0, LIMITS.devicesMax));
    const operatorAllows = this.#vfioAllow;
    const ownerOf = (address: string) => this.#ledger.ownerOf(address, null);
    const demand = { together, allowlist, operatorAllows, ownerOf };
    const errors = [
      ...pci_addresses
        .filter((address) => !isPciAddress(address))
        .map((address) => `${address.slice(0, 64)} ${PCI_ADDRESS_RULE}`),
      ...allowlist
        .filter((pattern) => !isDevicePattern(pattern))
        .map((pattern) => `${pattern.slice(0, 64)} of the allowlist ${DEVICE_PATTERN_RULE}`),
      ...(together.length > LIMITS.devicesMax
        ? [`A VM can have at most ${LIMITS.devicesMax} devices`]
        : []),
      ...found.flatMap((device) => problemsOf(device, demand)).map(({ text }) => text),
    ];
    const [message] = errors;
    if (message === undefined) return { valid: true, message: 'All devices can be handed to a VM' };
    return { valid: false, message, errors };
  }

  async groups(addresses: readonly string[]): Promise<readonly IommuGroup[]> {
    const found = await this.#lookUpGrouped(addresses);
    const groups = new Map<string, IommuGroup>();
    for (const { iommuGroup: id, groupMembers } of found) {
      groups.set(id, { id, devices: groupMembers.map(({ address }) => address) });
    }
    return [...groups.values()].sort((a, b) => Number(a.id) - Number(b.id));
  }

  async groupPaths(addresses: readonly string[]): Promise<readonly string[]> {
    const found = await this.#lookUpGrouped(addresses);
    refuse(
      found
        .filter(({ driver }) => driver !== 'vfio-pci')
        .map(({ address, driver }) => {
          const has = driver === '' ? 'no driver' : `driver ${driver}`;
          return problem(address, 'DEVICE_NOT_BOUND', `has ${has}, not vfio-pci`);
        }),
    );
    const numbers = [...new Set(found.map(({ iommuGroup }) => iommuGroup))];
    return numbers.sort((a, b) => Number(a) - Number(b)).map((number) => `/dev/vfio/${number}`);
  }

  async #lookUpGrouped(addresses: readonly string[]): Promise<readonly DeviceFacts[]> {
    const found = await lookUpDevices(this.#host, addresses);
    refuse(
      found
        .filter(({ iommuGroup }) => iommuGroup === '')
        .map(({ address }) => withoutGroup(address)),
    );
    return found;
  }
}
