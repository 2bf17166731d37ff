// engine, devices: the conditions under which a PCI device can be given to a VM. Pure.

import { type ErrorCode, VolantError } from '../../lib/errors.ts';
import type { DeviceFacts } from '../ports/device-ports.ts';

/** Drivers that do not use their device, so its group remains usable. */
const HARMLESS_DRIVERS = ['', 'vfio-pci', 'pci-stub', 'pcieport'];

/** One reason why a device cannot be given to a VM. */
export interface DeviceProblem {
  readonly address: string;
  readonly code: ErrorCode;
  /** A sentence that names the device. */
  readonly text: string;
}

/** The name of another VM that has a device; undefined if none has. */
type OwnerOf = (address: string) => string | undefined;

/** A request for devices. */
export interface DeviceDemand {
  /** The devices that are requested together. Their present drivers do not matter, because they will change. */
  readonly together: readonly string[];
  /** The setting VOLANT_VFIO_ALLOW. */
  readonly operatorAllows: readonly string[];
  /** From the request or the VM's config. It can only narrow what the operator allows. */
  readonly allowlist: readonly string[];
  readonly ownerOf: OwnerOf;
}

/** All problems, the most important first. Empty if the device can be given to a VM. */
export function problemsOf(device: DeviceFacts, demand: DeviceDemand): readonly DeviceProblem[] {
  if (!device.present) return [absent(device.address)];
  return [
    ...claimsOn(device, demand.ownerOf, demand.operatorAllows),
    ...isForbidden(device, demand.allowlist, 'the allowlist of the request'),
    ...problemsOfHost(device),
    ...problemsOfGroup(device, demand.together),
  ];
}

/**
 * Problems with the ownership of a device, for taking and giving back. The kernel gives an IOMMU group to one
 * hypervisor as a whole.
 */
export function claimsOn(
  device: DeviceFacts,
  ownerOf: OwnerOf,
  operatorAllows: readonly string[],
): readonly DeviceProblem[] {
  const { address, groupMembers } = device;
  const members = new Set([address, ...groupMembers.map((member) => member.address)]);
  const claims = [...members].flatMap((member) => {
    const owner = ownerOf(member);
    if (owner === undefined) return [];
    const how = member === address ? '' : `shares its IOMMU group with ${member}, which `;
    return [problem(address, 'DEVICE_OWNED', `${how}belongs to ${owner}`)];
  });
  return [...claims, ...isForbidden(device, operatorAllows, 'VOLANT_VFIO_ALLOW')];
}

/**
 * Checks a device against an allowlist: `vvvv:dddd` and `vvvv:*` match the ids, anything else the address. An empty
 * list allows all.
 */
function isForbidden(
  { address, vendor, device }: DeviceFacts,
  patterns: readonly string[],
  list: string,
): readonly DeviceProblem[] {
  const names = [address, `${vendor}:${device}`, `${vendor}:*`];
  const isAllowed = patterns.some((pattern) => names.includes(pattern.trim().toLowerCase()));
  if (patterns.length === 0 || isAllowed) return [];
  return [problem(address, 'DEVICE_FORBIDDEN', `(${vendor}:${device}) is not in ${list}`)];
}

function problemsOfHost({ address, isBridge, iommuGroup, usedBy }: DeviceFacts) {
  return [
    ...(iommuGroup === '' ? [withoutGroup(address)] : []),
    ...(usedBy === null ? [] : [problem(address, 'DEVICE_IN_USE', `is in use: ${usedBy}`)]),
    ...(isBridge
      ? [problem(address, 'DEVICE_IN_USE', 'is a bridge, which leads to other devices')]
      : []),
  ];
}

/** Other devices of the group that have a host driver: VFIO gives out whole groups only. */
function problemsOfGroup({ address, groupMembers }: DeviceFacts, together: readonly string[]) {
  const strangers = groupMembers.filter(
    (member) =>
      !member.isBridge &&
      !together.includes(member.address) &&
      !HARMLESS_DRIVERS.includes(member.driver),
  );
  if (strangers.length === 0) return [];
  const names = strangers.map((member) => `${member.address} (${member.driver})`).join(', ');
  return [problem(address, 'GROUP_NOT_VIABLE', `shares its IOMMU group with ${names}`)];
}

/** Throws the first problem, with the problems of all devices as details. */
export function refuse(problems: readonly DeviceProblem[]): void {
  const [first] = problems;
  if (first === undefined) return;
  const details: Record<string, string> = {};
  for (const { address, text } of problems) {
    details[address] = details[address] === undefined ? text : `${details[address]}; ${text}`;
  }
  throw new VolantError(first.code, first.text, { details });
}

/** The problem of a device that does not exist. */
export function absent(address: string): DeviceProblem {
  return { address, code: 'DEVICE_NOT_FOUND', text: `There is no PCI device ${address}` };
}

/** The problem of a device without an IOMMU group. */
export function withoutGroup(address: string): DeviceProblem {
  const remedy = 'is the IOMMU on in the firmware, and with intel_iommu=on or amd_iommu=on?';
  return problem(address, 'VFIO_UNAVAILABLE', `has no IOMMU group: ${remedy}`);
}

/** A problem; `what` continues the sentence after the device's name. */
export function problem(address: string, code: ErrorCode, what: string): DeviceProblem {
  return { address, code, text: `Device ${address} ${what}` };
}
