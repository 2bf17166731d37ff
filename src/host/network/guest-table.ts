// host, network: keeps one table of the kernel equal to the guests that it is to have. It batches changes that come at the same
// time, applies differences, and writes the whole table again when a change fails. What is in a table, and how it is written,
// says its owner: guest-filter.ts, guest-egress.ts.

import type { NetworkSpec } from '../../engine/ports/network-ports.ts';
import { Batch } from './batch.ts';
import { isHostFailure } from './host-failure.ts';

interface Entry {
  readonly tapName: string;
}

export interface TableChange<Guest> {
  readonly left: readonly Guest[];
  readonly admitted: readonly Guest[];
  /** Those in the kernel's table that are not in `left`, by the name of their tap. */
  readonly staying: ReadonlyMap<string, Guest>;
}

/** How a table is written. */
export interface TableWriter<Guest> {
  isSame(one: Guest, other: Guest): boolean;
  /** Writes the whole table. */
  make(spec: NetworkSpec, guests: readonly Guest[]): Promise<void>;
  /** Throws HOST_OPERATION_FAILED if the kernel's state was not the expected one. */
  change(spec: NetworkSpec, change: TableChange<Guest>): Promise<void>;
}

interface Update {
  readonly spec: NetworkSpec;
  readonly isWhole: boolean;
}

export class GuestTable<Guest extends Entry> {
  readonly #writer: TableWriter<Guest>;
  readonly #updates: Batch<Update>;
  /** What the table is to have, by the name of the tap. */
  readonly #wanted = new Map<string, Guest>();
  /** Taps that were set or removed before addExisting, whose caller may not know of that yet. null afterwards. */
  #changedEarly: Set<string> | null = new Set();
  /** The guests in the kernel's table. null: unknown. */
  #applied: Map<string, Guest> | null = null;
  /** Taps whose guests may differ between #wanted and the kernel's table. */
  readonly #changedTaps = new Set<string>();
  /** Of the last write. null before the first one. */
  #spec: NetworkSpec | null = null;

  constructor(writer: TableWriter<Guest>) {
    this.#writer = writer;
    this.#updates = new Batch((updates) => this.#apply(updates));
  }

  get wanted(): ReadonlyMap<string, Guest> {
    return this.#wanted;
  }

  /** false until the first write is done, and after one that failed. */
  get isApplied(): boolean {
    return this.#applied !== null;
  }

  /** Whether addExisting was called. */
  get knowsExisting(): boolean {
    return this.#changedEarly === null;
  }

  /** Of the last write. null before the first one: the table of an earlier daemon stays until then. */
  get spec(): NetworkSpec | null {
    return this.#spec;
  }

  /** Adds guests that were attached before this daemon started. Only the first call has an effect. */
  addExisting(guests: readonly Guest[]): void {
    const changed = this.#changedEarly;
    if (changed === null) return;
    for (const guest of guests)
      if (!changed.has(guest.tapName)) this.#wanted.set(guest.tapName, guest);
    this.#changedEarly = null;
  }

  /** Changes what is wanted for a tap; update() writes it. null: no guest. */
  set(tapName: string, guest: Guest | null): void {
    this.#changedEarly?.add(tapName);
    if (guest === null) this.#wanted.delete(tapName);
    else this.#wanted.set(tapName, guest);
  }

  /** Whether a guest of this tap is wanted, or is in the kernel's table as far as that is known. */
  has(tapName: string): boolean {
    return this.#wanted.has(tapName) || this.#applied?.has(tapName) === true;
  }

  /** Writes the whole table, whatever the kernel has. */
  make(spec: NetworkSpec): Promise<void> {
    return this.#updates.add({ spec, isWhole: true });
  }

  /** Resolves when the kernel's table has what is wanted for this tap. */
  async update(spec: NetworkSpec, tapName: string): Promise<void> {
    this.#changedTaps.add(tapName);
    await this.#updates.add({ spec, isWhole: false });
  }

  async #apply(updates: readonly Update[]): Promise<void> {
    const spec = updates.at(-1)?.spec ?? this.#spec;
    if (spec === null) return;
    this.#spec = spec;
    if (updates.some(({ isWhole }) => isWhole)) this.#applied = null;
    if (this.#applied !== null && (await this.#change(spec, this.#applied))) return;
    this.#applied = null;
    this.#changedTaps.clear();
    const applied = new Map(this.#wanted);
    await this.#writer.make(spec, [...applied.values()]);
    this.#applied = applied;
  }

  /** Applies the differences. false: the kernel's state was not the expected one. */
  async #change(spec: NetworkSpec, applied: Map<string, Guest>): Promise<boolean> {
    const left: Guest[] = [];
    const admitted: Guest[] = [];
    for (const tapName of this.#changedTaps) {
      const [before, after] = [applied.get(tapName), this.#wanted.get(tapName)];
      if (before !== undefined && after !== undefined && this.#writer.isSame(before, after))
        continue;
      if (before !== undefined) left.push(before);
      if (after !== undefined) admitted.push(after);
    }
    this.#changedTaps.clear();
    if (left.length + admitted.length === 0) return true;
    // Unknown until the change is done: it may be applied in part.
    this.#applied = null;
    for (const { tapName } of left) applied.delete(tapName);
    try {
      await this.#writer.change(spec, { left, admitted, staying: applied });
    } catch (error) {
      if (isHostFailure(error)) return false;
      throw error;
    }
    for (const guest of admitted) applied.set(guest.tapName, guest);
    this.#applied = applied;
    return true;
  }
}
