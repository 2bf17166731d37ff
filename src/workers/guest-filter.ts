// workers, main-thread side: which guests the filter of the bridge lets pass. The kernel's set is brought to what stands
// here by one writer: what comes and goes at the same time is one change, and where a change fails all is made anew.

import type { GuestIdentity, NetworkSpec } from '../engine/network-ports.ts';
import { Batch } from './batch.ts';
import { isHostFailure } from './host-failure.ts';
import type { HostSettings, Run } from './protocol.ts';

interface Round {
  readonly spec: NetworkSpec;
  readonly isWhole: boolean;
}

export class GuestFilter {
  readonly #settings: HostSettings;
  readonly #run: Run;
  readonly #rounds: Batch<Round>;
  /** By the name of the tap. */
  readonly #guests = new Map<string, GuestIdentity>();
  /** Taps that went before it was told which guests there are: whoever tells may not know that yet. */
  #gone: Set<string> | null = new Set();
  /** What the kernel lets pass; null while that is not known. */
  #standing: Map<string, GuestIdentity> | null = null;
  /** Taps of guests that may differ between the two. */
  readonly #touched = new Set<string>();
  #spec: NetworkSpec | null = null;
  /** As the kernel's rules were read back; undefined before they were made. */
  #rules: string | null | undefined;

  /** Where guests may send what they like there is no set, and nobody is known. */
  constructor(settings: HostSettings, run: Run) {
    this.#settings = settings;
    this.#run = run;
    this.#rounds = new Batch((rounds) => this.#bring(rounds));
  }

  /** The rules that were written last, senders left out; undefined while that is not known. */
  get rules(): string | null | undefined {
    return this.#rules;
  }

  /** These are there already, beside those that were admitted and have not left. Counts once: later calls know nothing new. */
  know(guests: readonly GuestIdentity[]): void {
    const gone = this.#gone;
    if (gone === null) return;
    for (const guest of guests) {
      const isNews = !gone.has(guest.tapName) && !this.#guests.has(guest.tapName);
      if (isNews) this.#guests.set(guest.tapName, guest);
    }
    this.#gone = null;
  }

  /** The guest is there, and has not left. */
  knows(tapName: string): boolean {
    return this.#guests.has(tapName);
  }

  /** Rules and senders are written anew, whatever the kernel has. */
  make(spec: NetworkSpec): Promise<void> {
    return this.#rounds.add({ spec, isWhole: true });
  }

  /** Resolves when its packets pass. */
  async admit(spec: NetworkSpec, guest: GuestIdentity): Promise<void> {
    this.#gone?.delete(guest.tapName);
    this.#guests.set(guest.tapName, guest);
    await this.#touch(spec, guest.tapName);
  }

  /**
   * Resolves when the kernel has forgotten it, known or not. Before the filter is made for the first time there is nothing to
   * forget: what an earlier daemon left goes then.
   */
  async leave(tapName: string): Promise<void> {
    this.#gone?.add(tapName);
    const isKnown = this.#guests.delete(tapName) || this.#standing?.has(tapName) === true;
    // Where the kernel's set is not known it may be there.
    if (this.#spec !== null && (isKnown || this.#standing === null)) {
      await this.#touch(this.#spec, tapName);
    }
  }

  async #touch(spec: NetworkSpec, tapName: string): Promise<void> {
    if (!this.#settings.antiSpoofing) return;
    this.#touched.add(tapName);
    await this.#rounds.add({ spec, isWhole: false });
  }

  async #bring(rounds: readonly Round[]): Promise<void> {
    const spec = rounds.at(-1)?.spec ?? this.#spec;
    if (spec === null) return;
    this.#spec = spec;
    if (rounds.some(({ isWhole }) => isWhole)) this.#standing = null;
    if (this.#standing !== null && (await this.#change(this.#standing))) return;
    this.#standing = null;
    this.#rules = undefined;
    this.#touched.clear();
    const standing = new Map(this.#settings.antiSpoofing ? this.#guests : []);
    const guests = [...standing.values()];
    this.#rules = await this.#run('makeGuestFilter', { settings: this.#settings, spec, guests });
    this.#standing = standing;
  }

  /** false: the kernel has something else than was thought. */
  async #change(standing: Map<string, GuestIdentity>): Promise<boolean> {
    const touched = [...this.#touched];
    this.#touched.clear();
    const admitted: GuestIdentity[] = [];
    const left: GuestIdentity[] = [];
    for (const tapName of touched) {
      const [before, after] = [standing.get(tapName), this.#guests.get(tapName)];
      if (isSame(before, after)) continue;
      if (before !== undefined) left.push(before);
      if (after !== undefined) admitted.push(after);
    }
    if (admitted.length + left.length === 0) return true;
    this.#standing = null;
    try {
      await this.#run('changeGuestFilter', { settings: this.#settings, admitted, left });
    } catch (error) {
      if (isHostFailure(error)) return false;
      throw error;
    }
    for (const { tapName } of left) standing.delete(tapName);
    for (const guest of admitted) standing.set(guest.tapName, guest);
    this.#standing = standing;
    return true;
  }
}

function isSame(one: GuestIdentity | undefined, other: GuestIdentity | undefined): boolean {
  return (
    one?.tapName === other?.tapName &&
    one?.macAddress === other?.macAddress &&
    one?.ipAddress === other?.ipAddress &&
    one?.asksForLease === other?.asksForLease
  );
}
