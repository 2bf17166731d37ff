// lib: how PCI devices are named: by where they are, or by what they are.

/** Domain, bus, device and function, as sysfs writes them, in either case. */
const ADDRESS = /^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/i;

/** Ids of vendor and device, or all devices of a vendor. */
const KIND = /^[0-9a-f]{4}:([0-9a-f]{4}|\*)$/i;

export const PCI_ADDRESS_RULE = 'must look like 0000:01:00.0';

export const DEVICE_PATTERN_RULE = 'must look like 10de:2204, 10de:* or 0000:01:00.0';

/** Spaces around it do not matter. */
export function isPciAddress(text: string): boolean {
  return ADDRESS.test(text.trim());
}

/** What an allowlist may hold. */
export function isDevicePattern(text: string): boolean {
  return KIND.test(text.trim()) || isPciAddress(text);
}

/** As sysfs writes them, each once. */
export function normalPciAddresses(addresses: readonly string[]): readonly string[] {
  return [...new Set(addresses.map((address) => address.trim().toLowerCase()))];
}
