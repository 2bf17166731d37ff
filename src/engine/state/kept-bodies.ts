// engine, state: which VMs at rest have their body in memory. The oldest bodies are evicted if all together take too
// much memory; they can be made again from their records.

import { LIMITS } from '../../config/limits.ts';
import type { Entry } from '../vm-list/vm-entry.ts';

export class KeptBodies {
  readonly #charactersMax: number;
  /** The length of each body, in the order in which they were made. */
  readonly #lengths = new Map<Entry, number>();
  /**
   * Follows the map from its front and passes over removed entries. A new iterator for each eviction would pass over all of
   * them again.
   */
  #oldest: Iterator<Entry, undefined> = this.#lengths.keys();
  #characters = 0;

  constructor(charactersMax: number = LIMITS.bodiesKeptCharactersMax) {
    this.#charactersMax = charactersMax;
  }

  /** Whether another body would evict none. */
  get hasSpace(): boolean {
    return this.#characters < this.#charactersMax;
  }

  /** The length of all bodies that are kept. */
  get characters(): number {
    return this.#characters;
  }

  /** The number of bodies that are kept. */
  get size(): number {
    return this.#lengths.size;
  }

  /** A body was made. */
  note(entry: Entry, body: string): void {
    this.forget(entry);
    this.#lengths.set(entry, body.length);
    this.#characters += body.length;
    while (this.#characters > this.#charactersMax) this.#evictOldest();
  }

  /** A body is no longer valid, or its VM is gone: it takes no memory from here on. */
  forget(entry: Entry): void {
    this.#characters -= this.#lengths.get(entry) ?? 0;
    this.#lengths.delete(entry);
  }

  #evictOldest(): void {
    const { value: entry } = this.#oldest.next();
    if (entry === undefined) {
      // An iterator that has come to the end stays there.
      this.#oldest = this.#lengths.keys();
      return;
    }
    entry.body = null;
    this.forget(entry);
  }
}
