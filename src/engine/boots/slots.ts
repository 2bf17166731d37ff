// engine, boots: a fixed number of slots with a queue, fair between clients. What a VM does while it holds a slot is
// not known here.

import { FairQueue } from '../../lib/queues/fair-queue.ts';

interface Waiting {
  readonly vmId: number;
  readonly begin: () => void;
}

export class Slots {
  readonly #taken = new Set<number>();
  /** At most one entry for each VM, because work on one VM is sequential. */
  readonly #waiting = new FairQueue<Waiting>();
  #slotsMax = 1;

  /** Takes a slot if one is free and no VM is queued. Returns whether it did. */
  tryEnter(vmId: number, slotsMax: number): boolean {
    this.#slotsMax = slotsMax;
    if (this.#waiting.size > 0 || this.#taken.size >= slotsMax) return false;
    this.#taken.add(vmId);
    return true;
  }

  /** Resolves when a slot is taken. Rejects with the signal's reason, without a slot. */
  enter(vmId: number, slotsMax: number, signal: AbortSignal, client = ''): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.tryEnter(vmId, slotsMax)) return Promise.resolve();
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

  /** Takes a slot even if none is free, for a VM that is already past this point. */
  hold(vmId: number): void {
    this.#taken.add(vmId);
  }

  /** Releases the slot of a VM. Does nothing if it has none. */
  leave(vmId: number): void {
    if (!this.#taken.delete(vmId)) return;
    while (this.#taken.size < this.#slotsMax) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#taken.add(next.vmId);
      next.begin();
    }
  }

  get taken(): number {
    return this.#taken.size;
  }

  /** The number of slots when one was asked for last. */
  get slotsMax(): number {
    return this.#slotsMax;
  }

  get waiting(): number {
    return this.#waiting.size;
  }
}
