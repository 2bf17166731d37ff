// engine: who holds which address of the guests' network. Arithmetic and bookkeeping in memory; that
// a lease is on disk before it is used is the caller's duty.

import type { Clock } from '../lib/clock.ts';
import { VolantError } from '../lib/errors.ts';
import { formatIpv4, type Ipv4Network, parseIpv4, sizeOf } from '../lib/ipv4.ts';
import type { AddressLease } from './records.ts';

/** The first address that is given out; below it is room for gateways and people. */
const FIRST_OFFSET = 10;

/**
 * The addresses of a network less network, broadcast and host address. Given out in numeric order
 * from .10 and from the start again when that part is used up. A released address rests for
 * `quarantineMs`, so that nobody's packets reach its next holder; the one that rested longest is
 * given out early only when no other is left.
 */
export class AddressPool {
  readonly #network: Ipv4Network;
  readonly #hostAddress: number;
  readonly #quarantineMs: number;
  readonly #holders = new Map<number, number>();
  readonly #clock: Clock;
  /** Released addresses in the order of their release, and when by a monotonic clock: Map keeps insertion order. */
  readonly #resting = new Map<number, number>();
  /** Addresses of the block less network and broadcast. */
  readonly #usable: number;
  /** Every step before this one is held: a lease need not look there again. */
  #firstStep = 0;

  constructor(
    network: Ipv4Network,
    hostIp: string,
    quarantineMs: number,
    leases: readonly (readonly [string, AddressLease])[],
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
    // Whatever the wall clock was set to meanwhile, none has rested for less than no time, or rests for longer than all of it.
    const [nowMs, monotonicMs] = [clock.nowMs(), clock.monotonicMs()];
    for (const [address, releasedAtMs] of released) {
      this.#resting.set(address, monotonicMs - Math.max(0, nowMs - releasedAtMs));
    }
  }

  /** Leases the first free address. ADDRESS_POOL_EXHAUSTED when every one is held. */
  lease(vmId: number): string {
    const address = this.#next();
    this.#resting.delete(address);
    this.#holders.set(address, vmId);
    return formatIpv4(address);
  }

  /** The address that a lease would give now. ADDRESS_POOL_EXHAUSTED. */
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

  /** Leases this address, whether it rests or not. Else tells what is against it, as `refusal` does. */
  claim(address: string, vmId: number): { readonly refused: 'outside' | number } | null {
    const refusal = this.refusal(address, vmId);
    const value = parseIpv4(address);
    if (refusal !== null || value === null) return refusal;
    this.#resting.delete(value);
    this.#holders.set(value, vmId);
    return null;
  }

  /** What is against this address for this VM: the id of another that holds it. null: it may have it, or has it. */
  refusal(address: string, vmId: number): { readonly refused: 'outside' | number } | null {
    const value = parseIpv4(address);
    if (value === null || !this.#isUsable(value)) return { refused: 'outside' };
    const holder = this.#holders.get(value);
    return holder === undefined || holder === vmId ? null : { refused: holder };
  }

  /** Who holds an address; null when nobody does. */
  holderOf(address: string): number | null {
    const value = parseIpv4(address);
    return value === null ? null : (this.#holders.get(value) ?? null);
  }

  /** Gives an address back. It rests before it is given out again. */
  release(address: string): void {
    const value = parseIpv4(address);
    if (value === null || !this.#holders.delete(value)) return;
    this.#resting.delete(value);
    this.#resting.set(value, this.#clock.monotonicMs());
    this.#firstStep = Math.min(this.#firstStep, this.#stepOf(value));
  }

  /** Takes back a lease of this VM that was never written down and never used: it need not rest. */
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

  /** Steps go from the first offset to the end of the block, then through what lies before it. */
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
