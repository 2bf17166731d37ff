// lib, formats: names of PCI devices: addresses, and patterns of vendor and device ids. Pure.

/** Domain, bus, device and function, as in sysfs, in either case. */
const ADDRESS = /^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/i;

/** Ids of vendor and device; "*" for all devices of a vendor. */
const KIND = /^[0-9a-f]{4}:([0-9a-f]{4}|\*)$/i;

export const PCI_ADDRESS_RULE = 'must look like 0000:01:00.0';

export const DEVICE_PATTERN_RULE = 'must look like 10de:2204, 10de:* or 0000:01:00.0';

/** Surrounding spaces are ignored. */
export function isPciAddress(text: string): boolean {
  return ADDRESS.test(text.trim());
}

/** Whether a text may be an entry of VOLANT_VFIO_ALLOW. */
export function isDevicePattern(text: string): boolean {
  return KIND.test(text.trim()) || isPciAddress(text);
}

/** Normalises addresses to the form of sysfs and removes duplicates. */
export function normalPciAddresses(addresses: readonly string[]): readonly string[] {
  return [...new Set(addresses.map((address) => address.trim().toLowerCase()))];
}
