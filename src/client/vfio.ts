// client: PCI devices of the host that can be passed to guests.

import type { CallOptions, Http } from './http.ts';

export interface VfioDeviceInfo {
  readonly address: string;
  /** Hexadecimal, without 0x. */
  readonly vendor: string;
  readonly device: string;
  /** Empty if no driver is bound. */
  readonly driver: string;
  readonly iommu_group: string;
  /** "-1" if unknown. */
  readonly numa_node: string;
}

export interface VfioVerdict {
  readonly valid: boolean;
  readonly message: string;
  readonly errors?: readonly string[];
}

export interface IommuGroup {
  readonly id: string;
  /** PCI addresses of all devices of the group. */
  readonly devices: readonly string[];
}

interface Done {
  readonly success: boolean;
  readonly message: string;
}

export class Vfio {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  info(pciAddress: string, options?: CallOptions): Promise<VfioDeviceInfo> {
    return this.#post('info', { pci_address: pciAddress }, options);
  }

  validate(
    pciAddresses: readonly string[],
    { allowlist, ...options }: CallOptions & { readonly allowlist?: readonly string[] } = {},
  ): Promise<VfioVerdict> {
    return this.#post('validate', { pci_addresses: pciAddresses, allowlist }, options);
  }

  iommuGroups(
    pciAddresses: readonly string[],
    options?: CallOptions,
  ): Promise<readonly IommuGroup[]> {
    return this.#post('iommu-groups', { pci_addresses: pciAddresses }, options);
  }

  bind(
    pciAddresses: readonly string[],
    options?: CallOptions,
  ): Promise<Done & { readonly bound_devices: readonly string[] }> {
    return this.#post('bind', { pci_addresses: pciAddresses }, options);
  }

  unbind(
    pciAddresses: readonly string[],
    options?: CallOptions,
  ): Promise<Done & { readonly unbound_devices: readonly string[] }> {
    return this.#post('unbind', { pci_addresses: pciAddresses }, options);
  }

  /** Paths of the form /dev/vfio/<group>, without duplicates. */
  async groupPaths(
    pciAddresses: readonly string[],
    options?: CallOptions,
  ): Promise<readonly string[]> {
    const body = { pci_addresses: pciAddresses };
    type Answer = { readonly group_paths: readonly string[] };
    return (await this.#post<Answer>('group-paths', body, options)).group_paths;
  }

  #post<T>(operation: string, json: object, options?: CallOptions): Promise<T> {
    const path = `/api/v1/vfio/devices/${operation}`;
    return this.#http.json({ method: 'POST', path, json, options });
  }
}
