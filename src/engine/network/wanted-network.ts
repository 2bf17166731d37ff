// engine, network: the wanted state of the guests' network, as one function of all records and published ports. Pure.

import type {
  Forward,
  GuestIdentity,
  NetworkSpec,
  WantedGuest,
  WantedNetwork,
} from '../ports/network-ports.ts';
import type { VmRecord } from '../records.ts';
import { guestOf } from '../vm-record/derived-names.ts';

export interface GuestFacts {
  /** Of all VMs that the host may have something of. */
  readonly records: readonly VmRecord[];
  /** The number of the bridge that the guest belongs on; null for any bridge of guests without a known address. */
  readonly bridgeNumberOf: (guest: GuestIdentity) => number | null;
  /** Whether the VM's hypervisor runs. */
  readonly isAlive: (vmId: number) => boolean;
}

export interface NetworkFacts extends GuestFacts {
  readonly spec: NetworkSpec;
  /** The network was made for a guest, which may be gone by now. */
  readonly isMade: boolean;
  readonly antiSpoofing: boolean;
  /** null while they are changing. */
  readonly forwards: readonly Forward[] | null;
}

/**
 * The guests whose frames may pass: from the moment a launch is wanted until everything is released. Whether a process
 * exists does not matter.
 */
export function wantedGuests({
  records,
  bridgeNumberOf,
  isAlive,
}: GuestFacts): readonly WantedGuest[] {
  return records.flatMap((record) => {
    const guest = record.observed.isReleased ? null : guestOf(record);
    if (guest === null) return [];
    const { id: vmId, status, process } = record;
    const runs = status === 'running' && process !== null && isAlive(vmId);
    return { vmId, guest, bridgeNumber: bridgeNumberOf(guest), isAlive: runs };
  });
}

export function wantedNetwork(facts: NetworkFacts): WantedNetwork {
  const { spec, isMade, antiSpoofing, forwards } = facts;
  const guests = wantedGuests(facts);
  // The network is made by the first launch, so a guest that is still starting does not need it yet.
  const isNeeded = isMade || guests.some(({ isAlive }) => isAlive);
  return { spec, isNeeded, antiSpoofing, guests, forwards };
}
