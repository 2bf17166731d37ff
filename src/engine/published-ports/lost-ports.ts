// engine, published ports: host ports that another program took while no daemon ran. Their guests keep running, and
// holding the ports is retried a bounded number of times.

import { LIMITS } from '../../config/limits.ts';
import type { NamedPort, PortHolds } from './port-holds.ts';

interface Lost {
  readonly port: NamedPort;
  tries: number;
}

export class LostPorts {
  readonly #holds: PortHolds;
  readonly #isWanted: (name: string) => boolean;
  readonly #regained: (port: NamedPort) => void;
  readonly #lost = new Map<string, Lost>();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** `regained` is called for each port that is held again. Ports that are not wanted any more are dropped. */
  constructor(
    holds: PortHolds,
    isWanted: (name: string) => boolean,
    regained: (port: NamedPort) => void,
  ) {
    this.#holds = holds;
    this.#isWanted = isWanted;
    this.#regained = regained;
  }

  /** Begins the retries for a port. */
  add(port: NamedPort): void {
    this.#lost.set(port.name, { port, tries: 0 });
    this.#schedule();
  }

  /** Ends all retries. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#lost.clear();
  }

  #schedule(): void {
    if (this.#closed || this.#timer !== undefined || this.#lost.size === 0) return;
    this.#timer = setTimeout(() => void this.#tryAll(), LIMITS.lostPortRetryMs).unref();
  }

  async #tryAll(): Promise<void> {
    await Promise.all([...this.#lost.values()].map((lost) => this.#try(lost)));
    this.#timer = undefined;
    this.#schedule();
  }

  async #try(lost: Lost): Promise<void> {
    const { port } = lost;
    lost.tries += 1;
    if (!this.#isWanted(port.name) || lost.tries >= LIMITS.lostPortTriesMax) {
      this.#lost.delete(port.name);
    }
    if (!this.#isWanted(port.name)) return;
    try {
      await this.#holds.take(port);
    } catch {
      // Another program still has the port.
      return;
    }
    this.#lost.delete(port.name);
    if (!this.#closed) this.#regained(port);
  }
}
