// engine, network: the address pool of the guests' network, in memory. Callers store an allocation before they use it.

import type { Clock } from '../../lib/clock.ts';
import { VolantError } from '../../lib/errors.ts';
import { formatIpv4, type Ipv4Network, parseIpv4, sizeOf } from '../../lib/net/ipv4.ts';
import type { AddressLease } from '../records.ts';

/** The first offset that is allocated; lower addresses are left to gateways and people. */
const FIRST_OFFSET = 10;

/**
 * The addresses of a network except network, broadcast and host address. They are allocated in numeric order from .10,
 * and from the beginning when the end is reached. A released address is in quarantine for `quarantineMs`, so that late
 * packets do not reach its next holder. If no other address is left, the one released first is allocated early.
 */
export class AddressPool {
  readonly #network: Ipv4Network;
  readonly #hostAddress: number;
  readonly #quarantineMs: number;
  readonly #holders = new Map<number, number>();
  readonly #clock: Clock;
  /** Released addresses with the monotonic time of their release, in that order (Map keeps insertion order). */
  readonly #resting = new Map<number, number>();
  /** The number of addresses of the network, except network and broadcast. */
  readonly #usable: number;
  /** Every address before this step is held, so a search begins here. */
  #firstStep = 0;

  constructor(
    network: Ipv4Network,
    hostIp: string,
    quarantineMs: number,
    leases: Iterable<readonly [string, AddressLease]>,
    clock: Clock,
  ) {
    this.#clock = clock;
    this.#network = network;
    this.#hostAddress = parseIpv4(hostIp) ?? network.base + 1;
    this.#quarantineMs = quarantineMs;
    this.#usable = sizeOf(network) - 2;
    const released: [number, number][] = [];
    for (const [text, lease] of leases) {
      const address = parseIpv4(text);
      if (address === null) continue;
      if (lease.vmId !== null) this.#holders.set(address, lease.vmId);
      else released.push([address, lease.releasedAtMs ?? 0]);
    }
    released.sort((a, b) => a[1] - b[1]);
    // The wall clock may have been changed: no address has been in quarantine for a negative time.
    const [nowMs, monotonicMs] = [clock.nowMs(), clock.monotonicMs()];
    for (const [address, releasedAtMs] of released) {
      this.#resting.set(address, monotonicMs - Math.max(0, nowMs - releasedAtMs));
    }
  }

  /** Addresses that VMs have, and how many they can have. One address is the host's. */
  get counts(): { readonly leased: number; readonly usable: number } {
    return { leased: this.#holders.size, usable: this.#usable - 1 };
  }

  /** Allocates the first free address. Throws ADDRESS_POOL_EXHAUSTED if every address is held. */
  lease(vmId: number): string {
    const address = this.#next();
    this.#resting.delete(address);
    this.#holders.set(address, vmId);
    return formatIpv4(address);
  }

  /** The address that `lease` would allocate now. Throws ADDRESS_POOL_EXHAUSTED. */
  next(): string {
    return formatIpv4(this.#next());
  }

  #next(): number {
    const address = this.#firstFree(this.#clock.monotonicMs()) ?? this.#longestResting();
    if (address === undefined) {
      throw new VolantError(
        'ADDRESS_POOL_EXHAUSTED',
        `All ${this.#holders.size} addresses of the guests' network are in use; delete a VM or set a larger VOLANT_SUBNET`,
      );
    }
    return address;
  }

  /** Allocates this address, even in quarantine. Returns null, or why it cannot, as `refusal` does. */
  claim(address: string, vmId: number): { readonly refused: 'outside' | number } | null {
    const refusal = this.refusal(address, vmId);
    const value = parseIpv4(address);
    if (refusal !== null || value === null) return refusal;
    this.#resting.delete(value);
    this.#holders.set(value, vmId);
    return null;
  }

  /**
   * Why this VM cannot have this address: it is outside of the network, or the id of another VM holds it. null if the
   * VM can have it or has it already.
   */
  refusal(address: string, vmId: number): { readonly refused: 'outside' | number } | null {
    const value = parseIpv4(address);
    if (value === null || !this.#isUsable(value)) return { refused: 'outside' };
    const holder = this.#holders.get(value);
    return holder === undefined || holder === vmId ? null : { refused: holder };
  }

  /** The VM that holds an address; null if none does. */
  holderOf(address: string): number | null {
    const value = parseIpv4(address);
    return value === null ? null : (this.#holders.get(value) ?? null);
  }

  /** Releases an address into quarantine. */
  release(address: string): void {
    const value = parseIpv4(address);
    if (value === null || !this.#holders.delete(value)) return;
    this.#resting.delete(value);
    this.#resting.set(value, this.#clock.monotonicMs());
    this.#firstStep = Math.min(this.#firstStep, this.#stepOf(value));
  }

  /** Undoes an allocation that was never stored and never used, without quarantine. */
  cancel(address: string, vmId: number): void {
    const value = parseIpv4(address);
    if (value === null || this.#holders.get(value) !== vmId) return;
    this.#holders.delete(value);
    this.#firstStep = Math.min(this.#firstStep, this.#stepOf(value));
  }

  #firstFree(nowMs: number): number | undefined {
    for (let step = this.#firstStep; step < this.#usable; step += 1) {
      const address = this.#addressAt(step);
      if (address === this.#hostAddress || this.#holders.has(address)) {
        if (step === this.#firstStep) this.#firstStep += 1;
        continue;
      }
      const releasedAtMs = this.#resting.get(address);
      if (releasedAtMs === undefined || nowMs - releasedAtMs >= this.#quarantineMs) return address;
    }
    return undefined;
  }

  /** Steps go from the first offset to the end of the network, then through the addresses before the first offset. */
  #addressAt(step: number): number {
    const start = Math.min(FIRST_OFFSET, this.#usable) - 1;
    return this.#network.base + 1 + ((start + step) % this.#usable);
  }

  #stepOf(address: number): number {
    const start = Math.min(FIRST_OFFSET, this.#usable) - 1;
    return (address - this.#network.base - 1 - start + this.#usable) % this.#usable;
  }

  #longestResting(): number | undefined {
    for (const address of this.#resting.keys()) if (this.#isUsable(address)) return address;
    return undefined;
  }

  #isUsable(address: number): boolean {
    const offset = address - this.#network.base;
    return offset >= 1 && offset <= this.#usable && address !== this.#hostAddress;
  }
}
