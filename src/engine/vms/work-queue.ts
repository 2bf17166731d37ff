// engine, vms: a budget with a queue. Work takes its share of the budget when its turn has come, and waits while too
// little is left. What the work does is not known here.

import { FairQueue } from '../../lib/queues/fair-queue.ts';

/** A process and a tap; also any work on a VM that is no launch. */
export const SMALLEST_COST = 1;

/** The share of the budget that some work takes. */
export interface Share {
  /** The client that the work is done for. */
  readonly client: string;
  /** Units of the budget, taken while the work is done. */
  readonly cost: number;
  /** A launch takes capacity of the host. Work of the same client that frees capacity goes before it. */
  readonly isLaunch: boolean;
}

interface Waiting {
  readonly share: Share;
  readonly begin: () => void;
}

export class WorkQueue {
  readonly #budget: number;
  readonly #waiting = new FairQueue<Waiting>();
  /** Work that gave its share back while it waited for something else. It goes before all other work. */
  readonly #resumed: Waiting[] = [];
  #taken = 0;

  constructor(budget: number) {
    this.#budget = budget;
  }

  get waiting(): number {
    return this.#waiting.size + this.#resumed.length;
  }

  /** Units of the budget that are taken. */
  get taken(): number {
    return this.#taken;
  }

  /** How many pieces of work of this client have not begun. */
  waitingOf(client: string): number {
    return this.#waiting.sizeOf(client);
  }

  /** How many clients have work in the queue. */
  get clients(): number {
    return this.#waiting.clients;
  }

  /** Resolves when it is the work's turn; its share of the budget is taken then. */
  async enter(share: Share): Promise<void> {
    if (this.waiting === 0 && this.#fits(share)) return this.#begin(share);
    await new Promise<void>((begin) => {
      const { client, cost, isLaunch } = share;
      this.#waiting.push(client, { share, begin }, { cost, isUrgent: !isLaunch });
    });
  }

  /** As `enter`, for work that had begun before. It goes before work that has not. */
  async resume(share: Share): Promise<void> {
    if (this.#resumed.length === 0 && this.#fits(share)) return this.#begin(share);
    await new Promise<void>((begin) => this.#resumed.push({ share, begin }));
  }

  /**
   * Gives the share back and begins the next work that fits. Cheaper work does not overtake work that does not fit yet.
   */
  leave(share: Share): void {
    this.#taken -= this.#costOf(share);
    for (;;) {
      const isResumed = this.#resumed.length > 0;
      const next = isResumed ? this.#resumed[0] : this.#waiting.peek();
      if (next === undefined || !this.#fits(next.share)) return;
      if (isResumed) this.#resumed.shift();
      else this.#waiting.shift();
      this.#begin(next.share);
      next.begin();
    }
  }

  #begin(share: Share): void {
    this.#taken += this.#costOf(share);
  }

  /** Work that costs more than the whole budget runs alone. */
  #costOf({ cost }: Share): number {
    return Math.min(cost, this.#budget);
  }

  #fits(share: Share): boolean {
    return this.#taken + this.#costOf(share) <= this.#budget;
  }
}
