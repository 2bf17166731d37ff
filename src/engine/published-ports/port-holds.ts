// engine, published ports: host ports that the daemon holds, so that no other program can bind them. A port is held
// from before it leads to a guest until after it does not any more, whichever VM owns it meanwhile.

import type { HeldPort, PortProtocol } from '../ports/network-ports.ts';

/** A host port with its name. */
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

  /** Resolves when the port is held. Throws PORT_TAKEN or HOST_OPERATION_FAILED; a retry is possible. */
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

  /** Releases a port. If it is still being taken, it is released after that. */
  release(name: string): void {
    const entry = this.#entries.get(name);
    this.#entries.delete(name);
    // A port that could not be held needs no release; its error went to the caller of `take`.
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
