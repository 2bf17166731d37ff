// engine: a number of places, who has one and who waits for one: in order, and clients in turn. What VMs do there, and when
// they leave, is not known here.

import { FairQueue } from '../lib/fair-queue.ts';

interface Waiting {
  readonly vmId: number;
  readonly begin: () => void;
}

export class Places {
  readonly #taken = new Set<number>();
  /** At most one entry for each VM: operations of one VM are serial. */
  readonly #waiting = new FairQueue<Waiting>();
  #placesMax = 1;

  /** Takes a place when one is free and nobody waits for it. */
  tryEnter(vmId: number, placesMax: number): boolean {
    this.#placesMax = placesMax;
    if (this.#waiting.size > 0 || this.#taken.size >= placesMax) return false;
    this.#taken.add(vmId);
    return true;
  }

  /** Takes a place when the turn has come. Rejects with the signal's reason, and has no place then. */
  enter(vmId: number, placesMax: number, signal: AbortSignal, client = ''): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.tryEnter(vmId, placesMax)) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        this.#waiting.remove(client, waiting);
        reject(signal.reason);
      };
      const begin = () => {
        signal.removeEventListener('abort', giveUp);
        resolve();
      };
      const waiting: Waiting = { vmId, begin };
      this.#waiting.push(client, waiting);
      signal.addEventListener('abort', giveUp, { once: true });
    });
  }

  /** One that does already what the place is for counts even where there is none for it. */
  hold(vmId: number): void {
    this.#taken.add(vmId);
  }

  /** Gives a place back. Without one nothing happens. */
  leave(vmId: number): void {
    if (!this.#taken.delete(vmId)) return;
    while (this.#taken.size < this.#placesMax) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#taken.add(next.vmId);
      next.begin();
    }
  }

  get taken(): number {
    return this.#taken.size;
  }

  get waiting(): number {
    return this.#waiting.size;
  }
}
