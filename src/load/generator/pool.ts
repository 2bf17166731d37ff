// load, generator: the VMs or deployments that setup made for this process, and which of them are in use: a flow that changes
// one has it for itself.

import type { Random } from '../arrivals/random.ts';
import type { Need } from '../scenario/scenario.ts';

export interface Lease {
  readonly name: string;
  release(): void;
}

const EXCLUSIVE = -1;

export class Pool {
  readonly #names: readonly string[];
  /** Number of flows that share it, or EXCLUSIVE. */
  readonly #users: number[];

  constructor(names: readonly string[]) {
    this.#names = names;
    this.#users = names.map(() => 0);
  }

  /** undefined: none is free. */
  lease(need: Exclude<Need, 'none'>, random: Random): Lease | undefined {
    const first = Math.floor(random() * this.#names.length);
    for (let step = 0; step < this.#names.length; step += 1) {
      const at = (first + step) % this.#names.length;
      const [name, users] = [this.#names[at], this.#users[at]];
      if (name === undefined || users === undefined || users === EXCLUSIVE) continue;
      if (need === 'exclusive' && users > 0) continue;
      this.#users[at] = need === 'exclusive' ? EXCLUSIVE : users + 1;
      return { name, release: () => this.#release(at, need) };
    }
    return undefined;
  }

  #release(at: number, need: Need): void {
    this.#users[at] = need === 'exclusive' ? 0 : (this.#users[at] ?? 1) - 1;
  }
}
