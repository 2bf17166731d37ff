// engine: what the engine needs of PCI devices of the host. Only types; the whole of what it needs of the host is in
// ports.ts.

/** A PCI device that shares an IOMMU group with another. */
export interface GroupMember {
  readonly address: string;
  readonly driver: string;
  readonly isBridge: boolean;
}

/** Who had a device before it was taken. */
export interface FormerDriver {
  readonly driver: string | null;
  readonly override: string;
}

export interface DeviceFacts {
  readonly address: string;
  readonly present: boolean;
  /** Hexadecimal digits. */
  readonly vendor: string;
  readonly device: string;
  /** Empty when no driver has it. */
  readonly driver: string;
  /** Empty without an IOMMU. */
  readonly iommuGroup: string;
  readonly numaNode: string;
  /** Itself included. */
  readonly groupMembers: readonly GroupMember[];
  readonly isBridge: boolean;
  /** What of the host needs it; null when nothing does. */
  readonly usedBy: string | null;
}

/** A part of HostPort. */
export interface DeviceHost {
  /** PCI devices as the kernel has them, in the order asked for. What is not there is told as such. */
  inspectDevices(addresses: readonly string[]): Promise<readonly DeviceFacts[]>;
  /** The only driver that the kernel gives a device to; empty when it may choose. DEVICE_BUSY, DEVICE_FAILED. */
  driverOverrideOf(address: string): Promise<string>;
  /** Gives a device to vfio-pci. What fails half-way is for releaseDevice. DEVICE_BUSY, DEVICE_FAILED, VFIO_UNAVAILABLE. */
  bindDevice(address: string): Promise<void>;
  /**
   * Gives it back to the driver that it had; empty means none, null whichever the kernel chooses. Absent is fine,
   * and so is a device that another driver has meanwhile. DEVICE_BUSY, DEVICE_FAILED.
   */
  releaseDevice(address: string, former: FormerDriver): Promise<void>;
  /**
   * Whether a hypervisor could open these IOMMU groups now, by number. GROUP_NOT_VIABLE, DEVICE_IN_USE when another
   * program has one, VFIO_UNAVAILABLE, DEVICE_FAILED.
   */
  probeGroups(groups: readonly string[]): Promise<void>;
}
