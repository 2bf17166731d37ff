// engine, ports: what the engine needs of the host's PCI devices. Only types. host-ports.ts joins all subjects.

/** A PCI device that shares an IOMMU group with another. */
export interface GroupMember {
  readonly address: string;
  readonly driver: string;
  readonly isBridge: boolean;
}

/** The driver of a device before it was taken. */
export interface FormerDriver {
  readonly driver: string | null;
  readonly override: string;
}

export interface DeviceFacts {
  readonly address: string;
  readonly present: boolean;
  /** Four hexadecimal digits each. */
  readonly vendor: string;
  readonly device: string;
  /** Empty without a driver. */
  readonly driver: string;
  /** Empty without an IOMMU. */
  readonly iommuGroup: string;
  readonly numaNode: string;
  /** Including the device itself. */
  readonly groupMembers: readonly GroupMember[];
  readonly isBridge: boolean;
  /** What on the host uses it; null for nothing. */
  readonly usedBy: string | null;
}

/** The devices of the host. A part of HostPorts. */
export interface DeviceHost {
  /** PCI devices as the kernel has them, in the requested order. A device that does not exist has `present: false`. */
  inspectDevices(addresses: readonly string[]): Promise<readonly DeviceFacts[]>;
  /**
   * The only driver that the kernel may give the device to; empty if it may choose. Throws DEVICE_BUSY or
   * DEVICE_FAILED.
   */
  driverOverrideOf(address: string): Promise<string>;
  /**
   * Binds a device to vfio-pci. If that fails half-way, releaseDevice undoes it. Throws DEVICE_BUSY, DEVICE_FAILED or
   * VFIO_UNAVAILABLE.
   */
  bindDevice(address: string): Promise<void>;
  /**
   * Gives a device back to its former driver; empty means none, null means the kernel's choice. A device that is gone
   * or has another driver by now is skipped. Throws DEVICE_BUSY or DEVICE_FAILED.
   */
  releaseDevice(address: string, former: FormerDriver): Promise<void>;
  /**
   * Resolves if a hypervisor could open these IOMMU groups now. Throws GROUP_NOT_VIABLE, DEVICE_IN_USE if another
   * program has one open, VFIO_UNAVAILABLE or DEVICE_FAILED.
   */
  probeGroups(groups: readonly string[]): Promise<void>;
}
