// engine: ports of the host that the daemon has taken, so that no program gets them. A port is held from
// before it leads to a guest until after it does not any more, whoever owns it meanwhile.

import type { HeldPort, PortProtocol } from '../network-ports.ts';

/** A port by its name and its parts. */
export interface NamedPort {
  readonly name: string;
  readonly protocol: PortProtocol;
  readonly hostPort: number;
}

interface Entry {
  readonly holding: Promise<HeldPort>;
  held: boolean;
}

export class PortHolds {
  readonly #hold: (port: NamedPort) => Promise<HeldPort>;
  readonly #entries = new Map<string, Entry>();

  constructor(hold: (port: NamedPort) => Promise<HeldPort>) {
    this.#hold = hold;
  }

  /** Resolves when the port is ours, at once when it is. PORT_TAKEN, HOST_OPERATION_FAILED: it may be tried again. */
  async take(port: NamedPort): Promise<void> {
    const entry = this.#entries.get(port.name) ?? this.#begin(port);
    await entry.holding;
  }

  isHeld(name: string): boolean {
    return this.#entries.get(name)?.held ?? false;
  }

  names(): readonly string[] {
    return [...this.#entries.keys()];
  }

  /** Gives a port back, as soon as it is ours where that is not known yet. */
  release(name: string): void {
    const entry = this.#entries.get(name);
    this.#entries.delete(name);
    // One that could not be held has nothing to release; whoever asked for it was told.
    entry?.holding.then((port) => port.release()).catch(() => undefined);
  }

  #begin(port: NamedPort): Entry {
    const entry: Entry = { holding: this.#hold(port), held: false };
    this.#entries.set(port.name, entry);
    const note = (held: boolean) => {
      entry.held = held;
      if (!held && this.#entries.get(port.name) === entry) this.#entries.delete(port.name);
    };
    entry.holding.then(
      () => note(true),
      () => note(false),
    );
    return entry;
  }
}
