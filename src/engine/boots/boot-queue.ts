// engine, boots: who may boot and who waits for it, in order. When a boot is over is not known here.

interface Waiting {
  readonly vmId: number;
  readonly begin: () => void;
}

export class BootQueue {
  readonly #booting = new Set<number>();
  /** At most one entry for each VM: operations of one VM are serial. */
  readonly #waiting: Waiting[] = [];
  #placesMax = 1;

  /** Takes a place when one is free and nobody waits for it. */
  tryEnter(vmId: number, placesMax: number): boolean {
    this.#placesMax = placesMax;
    if (this.#waiting.length > 0 || this.#booting.size >= placesMax) return false;
    this.#booting.add(vmId);
    return true;
  }

  /** Takes a place when the turn has come. Rejects with the signal's reason, and has no place then. */
  enter(vmId: number, placesMax: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.tryEnter(vmId, placesMax)) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        reject(signal.reason);
      };
      const begin = () => {
        signal.removeEventListener('abort', giveUp);
        resolve();
      };
      const waiting: Waiting = { vmId, begin };
      this.#waiting.push(waiting);
      signal.addEventListener('abort', giveUp, { once: true });
    });
  }

  /** A guest that boots already, launched by an earlier daemon, counts even where there is no place for it. */
  hold(vmId: number): void {
    this.#booting.add(vmId);
  }

  /** Gives a place back. Without one nothing happens. */
  leave(vmId: number): void {
    if (!this.#booting.delete(vmId)) return;
    while (this.#booting.size < this.#placesMax) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#booting.add(next.vmId);
      next.begin();
    }
  }

  get booting(): number {
    return this.#booting.size;
  }

  get waiting(): number {
    return this.#waiting.length;
  }
}
