// workers, main-thread side: removing one tap waits for a grace period of the kernel, removing many in
// one request waits for one. Removals that are asked for while one runs go together into the next.

interface Waiting {
  readonly tapName: string;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class TapRemovals {
  readonly #removeAll: (tapNames: readonly string[]) => Promise<void>;
  #waiting: Waiting[] = [];
  #busy = false;

  constructor(removeAll: (tapNames: readonly string[]) => Promise<void>) {
    this.#removeAll = removeAll;
  }

  /** Resolves when the tap is gone. */
  remove(tapName: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ tapName, resolve, reject });
      if (!this.#busy) void this.#work();
    });
  }

  async #work(): Promise<void> {
    this.#busy = true;
    // What the rest of this turn asks for belongs to the first round.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const round = this.#waiting.splice(0);
      try {
        await this.#removeAll(round.map(({ tapName }) => tapName));
        for (const { resolve } of round) resolve();
      } catch (error) {
        for (const { reject } of round) reject(error);
      }
    }
    this.#busy = false;
  }
}
