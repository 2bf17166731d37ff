// workers, main-thread side: which guests the filter of the bridge knows. What comes and goes at the
// same time is one change of the kernel's set.

import type { GuestIdentity } from '../engine/network-ports.ts';
import { Batch } from './batch.ts';

type Change = (
  admitted: readonly GuestIdentity[],
  left: readonly GuestIdentity[],
) => Promise<unknown>;

export class GuestFilter {
  readonly #enabled: boolean;
  readonly #guests = new Map<string, GuestIdentity>();
  readonly #changes: Batch<{ readonly guest: GuestIdentity; readonly stays: boolean }>;

  /** Where guests may send what they like there is no set, and nobody is known. */
  constructor(enabled: boolean, change: Change) {
    this.#enabled = enabled;
    this.#changes = new Batch((items) => {
      // Of one guest the last word counts.
      const last = new Map(items.map((item) => [item.guest.tapName, item]));
      const of = (stays: boolean) =>
        [...last.values()].filter((item) => item.stays === stays).map(({ guest }) => guest);
      return change(of(true), of(false));
    });
  }

  /** All that the filter must know. */
  get guests(): readonly GuestIdentity[] {
    return [...this.#guests.values()];
  }

  /** The kernel's set holds these already. */
  know(guests: readonly GuestIdentity[]): void {
    if (!this.#enabled) return;
    for (const guest of guests) this.#guests.set(guest.tapName, guest);
  }

  /** Resolves when its packets pass. */
  async admit(guest: GuestIdentity): Promise<void> {
    if (!this.#enabled) return;
    this.#guests.set(guest.tapName, guest);
    await this.#changes.add({ guest, stays: true });
  }

  /** Resolves when the kernel has forgotten it. A tap that is not known is fine. */
  async leave(tapName: string): Promise<void> {
    const guest = this.#guests.get(tapName);
    if (guest === undefined) return;
    this.#guests.delete(tapName);
    await this.#changes.add({ guest, stays: false });
  }
}
