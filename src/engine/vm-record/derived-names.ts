// engine, vm-record: names and numbers that are derived from a VM's id. Ids are never reused, so the names of one daemon are
// unique. Numbers have a smaller range: each function says when they repeat. Pure.

import { LIMITS } from '../../config/limits.ts';
import type { GuestIdentity } from '../ports/network-ports.ts';
import type { VmRecord } from '../records.ts';

const CIDS_PER_DAEMON = 0x4000;

/** Linux allows 15 characters for a link name: "vt", the tag, "-" and an id in base 36. */
export function tapNameOf(hostTag: string, vmId: number): string {
  return `vt${hostTag}-${vmId.toString(36)}`;
}

/** The tag of the daemon whose tap has this name. */
export function hostTagOf(tapName: string): string {
  return tapName.slice(2, tapName.indexOf('-'));
}

/** The VM whose tap has this name. */
export function vmIdOfTap(tapName: string): number {
  return Number.parseInt(tapName.slice(tapName.indexOf('-') + 1), 36);
}

/** The name of the VM's cgroup below the daemon's own. */
export function cgroupNameOf(vmId: number): string {
  return `vm-${vmId}`;
}

/** The VM whose cgroup has this name. */
export function vmIdOfCgroup(cgroupName: string): number {
  return Number(cgroupName.slice(cgroupName.indexOf('-') + 1));
}

/**
 * A locally administered unicast address: 02, one byte that tells daemons on one network apart, and
 * the id in four bytes.
 */
export function macAddressOf(hostTag: string, vmId: number): string {
  const id = (vmId >>> 0).toString(16).padStart(8, '0');
  const hex = `02${hostTag.slice(0, 2)}${id}`;
  return (hex.match(/../g) ?? []).join(':');
}

/**
 * CIDs 0 to 2 are reserved (hypervisor, local, host), and 2^32 - 1 means any CID. All daemons of a host share the
 * others: the host tag selects where a daemon's range begins. Ids from 16,384 on reach the range of the next tag.
 */
export function vsockCidOf(hostTag: string, vmId: number): number {
  const base = Number.parseInt(hostTag, 16) * CIDS_PER_DAEMON;
  return 3 + ((base + vmId) % (0x1_0000 * CIDS_PER_DAEMON));
}

/** The user id of a VM's hypervisor. Ids that are a multiple of LIMITS.hypervisorUidsMax - 1 apart share one. */
export function hypervisorUidOf(firstUid: number, vmId: number): number {
  return firstUid + 1 + (vmId % (LIMITS.hypervisorUidsMax - 1));
}

/** The lower VM ids that share this id's user, newest first. */
export function* idsOfSameUser(vmId: number): Generator<number> {
  const step = LIMITS.hypervisorUidsMax - 1;
  for (let id = vmId - step; id > 0; id -= step) yield id;
}

/** The guest behind the VM's tap; null for a VM without a network card. */
export function guestOf({
  leases: { tapName, macAddress, ipAddress },
  networkMode,
  egress,
}: Pick<VmRecord, 'leases' | 'networkMode' | 'egress'>): GuestIdentity | null {
  if (tapName === null) return null;
  const asksForLease = networkMode === 'dhcp';
  return { tapName, macAddress, ipAddress, asksForLease, ...(egress && { egress }) };
}
