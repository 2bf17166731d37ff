// http: bounds how many connections are accepted in one turn of the event loop. The server accepts every waiting connection
// before it does anything else, so a burst of thousands would delay all other work. The server stops where accept(2) fails,
// so the gate takes the listening socket away from it until the next turn. Further connections wait in the kernel's accept
// queue.

import { LIMITS } from '../config/limits.ts';

/** Operations on descriptors of this process. The addon implements them under these names. */
export interface ListenControl {
  listeningSockets(): number[];
  listenBacklog(fd: number, most: number): void;
  listenHandles(fd: number): { readonly kept: number; readonly deaf: number };
  fdReplace(fd: number, by: number): void;
  closeFd(fd: number): void;
}

interface Guarded {
  /** The descriptor on which the server accepts. */
  readonly fd: number;
  readonly kept: number;
  readonly deaf: number;
}

export class AcceptGate {
  readonly #control: ListenControl | null;
  readonly #perTurn: number;
  #guarded: Guarded | null = null;
  #accepted = 0;
  #isShut = false;
  #turnEnd: NodeJS.Immediate | null = null;

  /** Without `control` the gate is always open. */
  constructor(control: ListenControl | null, perTurn: number = LIMITS.acceptsPerTurnMax) {
    this.#control = control;
    this.#perTurn = perTurn;
  }

  /** `listen` opens one socket, and returns true if it listens. The gate guards that socket from then on. */
  guard(listen: () => boolean): boolean {
    const control = this.#control;
    if (control === null) return listen();
    const before = new Set(control.listeningSockets());
    if (!listen()) return false;
    const [fd, ...others] = control.listeningSockets().filter((one) => !before.has(one));
    // Nothing else opens a listening socket while this runs. If something ever does, the server accepts without a bound.
    if (fd === undefined || others.length > 0) return true;
    this.end();
    control.listenBacklog(fd, LIMITS.acceptBacklogMax);
    this.#guarded = { fd, ...control.listenHandles(fd) };
    return true;
  }

  /** The server calls it for each accepted connection, before it accepts the next one. */
  readonly accepted = (): void => {
    if (this.#guarded === null) return;
    this.#turnEnd ??= setImmediate(() => this.#onTurnEnd());
    this.#accepted += 1;
    if (this.#accepted < this.#perTurn || this.#isShut) return;
    this.#control?.fdReplace(this.#guarded.fd, this.#guarded.deaf);
    this.#isShut = true;
  };

  /** Returns the socket to the server, which closes it next. */
  end(): void {
    const guarded = this.#guarded;
    if (guarded === null) return;
    if (this.#turnEnd !== null) clearImmediate(this.#turnEnd);
    this.#onTurnEnd();
    this.#guarded = null;
    this.#control?.closeFd(guarded.kept);
    this.#control?.closeFd(guarded.deaf);
  }

  #onTurnEnd(): void {
    this.#turnEnd = null;
    this.#accepted = 0;
    if (!this.#isShut || this.#guarded === null) return;
    this.#isShut = false;
    this.#control?.fdReplace(this.#guarded.fd, this.#guarded.kept);
  }
}
