// engine, vms: a budget that work takes a part of, and the line of those for whom too little is left. What the work is, is
// not known here.

import { FairQueue } from '../../lib/fair-queue.ts';

/** Work as the line sees it. */
export interface Share {
  /** For whom it is done. */
  readonly client: string;
  /** Its part of the budget while it is done. */
  readonly cost: number;
  /** Something new, which takes room on the host. Work of the same client that gives room back goes before it. */
  readonly isLaunch: boolean;
}

interface Waiting {
  readonly share: Share;
  readonly begin: () => void;
}

export class FairLine {
  readonly #budget: number;
  readonly #waiting = new FairQueue<Waiting>();
  /** They gave their part up while they waited for something else, and go before all others. */
  readonly #resumed: Waiting[] = [];
  #taken = 0;

  constructor(budget: number) {
    this.#budget = budget;
  }

  get waiting(): number {
    return this.#waiting.size + this.#resumed.length;
  }

  /** Of those that have not begun. */
  waitingOf(client: string): number {
    return this.#waiting.sizeOf(client);
  }

  /** How many clients wait for their turn. */
  get clients(): number {
    return this.#waiting.clients;
  }

  /** Resolves when it is the work's turn and its part of the budget is taken. */
  async enter(share: Share): Promise<void> {
    if (this.waiting === 0 && this.#fits(share)) return this.#begin(share);
    await new Promise<void>((begin) => {
      const { client, cost, isLaunch } = share;
      this.#waiting.push(client, { share, begin }, { cost, isUrgent: !isLaunch });
    });
  }

  /** As `enter`, for work that was begun: it goes before what was not. */
  async resume(share: Share): Promise<void> {
    if (this.#resumed.length === 0 && this.#fits(share)) return this.#begin(share);
    await new Promise<void>((begin) => this.#resumed.push({ share, begin }));
  }

  /** Gives the part back; whoever fits now begins. What does not fit yet is not overtaken by what is cheaper. */
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

  /** What costs more than there is runs alone. */
  #costOf({ cost }: Share): number {
    return Math.min(cost, this.#budget);
  }

  #fits(share: Share): boolean {
    return this.#taken + this.#costOf(share) <= this.#budget;
  }
}
