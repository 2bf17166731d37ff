// host, network: the guests that the bridge filter lets send. This class is the only writer of the kernel's sets. The rules
// themselves are in jobs/network/filter-rules.ts.

import type { GuestIdentity, NetworkSpec } from '../../engine/ports/network-ports.ts';
import type { HostSettings, Run } from '../jobs/protocol.ts';
import { GuestTable, type TableChange } from './guest-table.ts';

/** Keeps the kernel's anti-spoofing sets equal to the guests that are attached. */
export class GuestFilter {
  readonly #settings: HostSettings;
  readonly #run: Run;
  readonly #table: GuestTable<GuestIdentity>;
  /** The rules as they were read back after the last write. undefined: not written yet. */
  #rules: string | null | undefined;

  constructor(settings: HostSettings, run: Run) {
    this.#settings = settings;
    this.#run = run;
    this.#table = new GuestTable({
      isSame,
      make: (spec, guests) => this.#make(spec, guests),
      change: (_, change) => this.#change(change),
    });
  }

  /** A digest of the rules that were written last, without the sets of senders. undefined: unknown. null: no table. */
  get rules(): string | null | undefined {
    return this.#rules;
  }

  /** Adds guests that were attached before this daemon started. Only the first call has an effect. */
  addExisting(guests: readonly GuestIdentity[]): void {
    this.#table.addExisting(guests);
  }

  /** Whether the guest of this tap is attached. */
  has(tapName: string): boolean {
    return this.#table.wanted.has(tapName);
  }

  /** Rewrites rules and sets, whatever the kernel has. */
  make(spec: NetworkSpec): Promise<void> {
    return this.#table.make(spec);
  }

  /** Resolves when the filter passes the guest's packets. */
  async add(spec: NetworkSpec, guest: GuestIdentity): Promise<void> {
    this.#table.set(guest.tapName, guest);
    await this.#update(spec, guest.tapName);
  }

  /**
   * Resolves when the kernel's sets do not contain the guest; an unknown guest is no error. Before the filter is
   * first written this changes nothing in the kernel: the first write replaces what an earlier daemon left.
   */
  async remove(tapName: string): Promise<void> {
    const { spec, isApplied } = this.#table;
    // While the kernel's sets are unknown, they may contain the guest.
    const mayHave = !isApplied || this.#table.has(tapName);
    this.#table.set(tapName, null);
    if (spec !== null && mayHave) await this.#update(spec, tapName);
  }

  /** Without anti-spoofing there are no sets. */
  async #update(spec: NetworkSpec, tapName: string): Promise<void> {
    if (this.#settings.antiSpoofing) await this.#table.update(spec, tapName);
  }

  async #make(spec: NetworkSpec, attached: readonly GuestIdentity[]): Promise<void> {
    this.#rules = undefined;
    const guests = this.#settings.antiSpoofing ? attached : [];
    this.#rules = await this.#run('makeGuestFilter', { settings: this.#settings, spec, guests });
  }

  async #change({ left, admitted }: TableChange<GuestIdentity>): Promise<void> {
    await this.#run('changeGuestFilter', { settings: this.#settings, admitted, left });
  }
}

function isSame(one: GuestIdentity, other: GuestIdentity): boolean {
  return (
    one.macAddress === other.macAddress &&
    one.ipAddress === other.ipAddress &&
    one.asksForLease === other.asksForLease
  );
}
