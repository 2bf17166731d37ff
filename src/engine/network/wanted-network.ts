// engine, network: the guests' network as it should be: one function of all records and of the host ports. Pure.

import { guestOf } from '../identity.ts';
import type {
  Forward,
  GuestIdentity,
  NetworkSpec,
  WantedGuest,
  WantedNetwork,
} from '../network-ports.ts';
import type { VmRecord } from '../records.ts';

export interface GuestFacts {
  readonly records: readonly VmRecord[];
  /** The bridge that the guest belongs on; null is any of those for guests whose address is not known. */
  readonly shardOf: (guest: GuestIdentity) => number | null;
  /** The hypervisor of this VM was seen to run, and not to end. */
  readonly isAlive: (vmId: number) => boolean;
}

export interface NetworkFacts extends GuestFacts {
  readonly spec: NetworkSpec;
  /** The network was made for a guest, which may be gone by now. */
  readonly isMade: boolean;
  readonly antiSpoofing: boolean;
  /** null while they change. */
  readonly forwards: readonly Forward[] | null;
}

/**
 * Those whose frames may pass: from the moment that a launch is wanted until everything was given back. Whether there is a
 * process does not matter: it may be found later, or have been found already.
 */
export function wantedGuests({ records, shardOf, isAlive }: GuestFacts): readonly WantedGuest[] {
  return records.flatMap((record) => {
    const guest = record.observed.isReleased ? null : guestOf(record);
    if (guest === null) return [];
    const { id: vmId, status, process } = record;
    const runs = status === 'running' && process !== null && isAlive(vmId);
    return { vmId, guest, shard: shardOf(guest), isAlive: runs };
  });
}

export function wantedNetwork(facts: NetworkFacts): WantedNetwork {
  const { spec, isMade, antiSpoofing, forwards } = facts;
  const guests = wantedGuests(facts);
  // It is made with the first launch: a guest that is on its way may not have come so far.
  const isNeeded = isMade || guests.some(({ isAlive }) => isAlive);
  return { spec, isNeeded, antiSpoofing, guests, forwards };
}
