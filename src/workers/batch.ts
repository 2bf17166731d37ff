// workers, main-thread side: some work of the kernel costs as much for many things as for one. What is
// asked for while a round of it runs goes together into the next.

interface Waiting<Item> {
  readonly item: Item;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class Batch<Item> {
  readonly #work: (items: readonly Item[]) => Promise<unknown>;
  #waiting: Waiting<Item>[] = [];
  #busy = false;

  /** `work` is given the items of a round in the order in which they were added. */
  constructor(work: (items: readonly Item[]) => Promise<unknown>) {
    this.#work = work;
  }

  /** Resolves when the item's round is done, and rejects when that failed. */
  add(item: Item): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      if (!this.#busy) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#busy = true;
    // What the rest of this turn asks for belongs to the first round.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const round = this.#waiting.splice(0);
      try {
        await this.#work(round.map(({ item }) => item));
        for (const { resolve } of round) resolve();
      } catch (error) {
        for (const { reject } of round) reject(error);
      }
    }
    this.#busy = false;
  }
}
