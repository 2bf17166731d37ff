// host: watches processes until they exit. A thread of the addon reports each exit; this class settles the promise of
// the process. The same thread reports losses of the network, which are passed on unchanged.

import { constants } from 'node:os';
import type { ProcessExit, WatchedProcess } from '../engine/ports/process-ports.ts';
import type { ProcessIdentity } from '../engine/records.ts';
import { type NetworkChange, native } from './jobs/native.ts';

type SignalName = Parameters<WatchedProcess['signal']>[0];

interface Watch {
  readonly pidfd: number;
  readonly settle: (exit: ProcessExit) => void;
}

/** The only user of the addon's watch thread: there is one per daemon. */
export class ExitWatcher {
  readonly #watches = new Map<number, Watch>();
  #nextToken = 1;

  constructor() {
    native.exitWatchStart((token, code, signal) => {
      const watch = this.#watches.get(token);
      // The descriptor is closed when this returns; without the entry nobody can send to it.
      this.#watches.delete(token);
      watch?.settle({ code, signal });
    });
  }

  /** Watches a process and takes over its pidfd, which is closed after the exit. */
  watch(identity: ProcessIdentity, pidfd: number): WatchedProcess {
    const token = this.#nextToken++;
    const exited = new Promise<ProcessExit>((settle) => {
      this.#watches.set(token, { pidfd, settle });
    });
    native.exitWatchAdd(pidfd, token);
    return { identity, exited, signal: async (name) => this.#signal(token, name) };
  }

  /**
   * Calls back with each loss that the kernel reports about the network. Throws where the kernel does not report
   * them.
   */
  watchNetwork(onChanges: (changes: readonly NetworkChange[]) => void): void {
    native.networkWatchStart(onChanges);
  }

  close(): void {
    native.exitWatchStop();
    this.#watches.clear();
  }

  #signal(token: number, name: SignalName): void {
    const watch = this.#watches.get(token);
    if (watch === undefined) return;
    try {
      native.pidfdSignal(watch.pidfd, constants.signals[name]);
    } catch (error) {
      // ESRCH: the process has ended, and the report of its exit is still on the way.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}
