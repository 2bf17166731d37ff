// host: joins what is asked for at the same moment into jobs of a bounded size: the way to a thread and back costs more than
// many small pieces of work. Each caller gets the outcome of its own item. Changes that must follow one another are batched by
// network/batch.ts.

import { VolantError } from '../lib/errors.ts';
import { type Outcome, unwrap } from '../lib/outcome.ts';

interface Waiting<Item, Result> {
  readonly item: Item;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

export interface SharedJobOptions<Item, Result> {
  /** Runs one job. Resolves with the outcomes in the order of the items. */
  readonly run: (items: readonly Item[]) => Promise<readonly Outcome<Result>[]>;
  /** Of one job. */
  readonly itemsMax: number;
  /** Calls back when the moment is over. */
  readonly afterwards: (send: () => void) => void;
}

export class SharedJobs<Item, Result> {
  readonly #options: SharedJobOptions<Item, Result>;
  #waiting: Waiting<Item, Result>[] = [];

  constructor(options: SharedJobOptions<Item, Result>) {
    this.#options = options;
  }

  /** Resolves with the result for this item. Rejects with its fault, or with the error of its job. */
  ask(item: Item): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      if (this.#waiting.length === 1) this.#options.afterwards(() => this.#sendAll());
    });
  }

  #sendAll(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    const { itemsMax } = this.#options;
    for (let from = 0; from < waiting.length; from += itemsMax) {
      void this.#send(waiting.slice(from, from + itemsMax));
    }
  }

  async #send(some: readonly Waiting<Item, Result>[]): Promise<void> {
    let outcomes: readonly Outcome<Result>[];
    try {
      outcomes = await this.#options.run(some.map(({ item }) => item));
    } catch (error) {
      for (const { reject } of some) reject(error);
      return;
    }
    for (const [index, { resolve, reject }] of some.entries()) {
      try {
        const outcome = outcomes[index];
        if (outcome === undefined) throw new VolantError('INTERNAL', 'A job left out an item');
        resolve(unwrap(outcome));
      } catch (error) {
        reject(error);
      }
    }
  }
}
