// workers, main-thread side: processes under watch. The addon's thread sees their ends; here each end
// settles the promise of its process. News of the network come from the same thread.

import { constants } from 'node:os';
import type { ProcessExit, WatchedProcess } from '../engine/ports.ts';
import type { ProcessIdentity } from '../engine/records.ts';
import { type NetworkChange, native } from './native.ts';

type SignalName = Parameters<WatchedProcess['signal']>[0];

interface Watch {
  readonly pidfd: number;
  readonly settle: (exit: ProcessExit) => void;
}

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

  /** Takes over a pidfd. */
  watch(identity: ProcessIdentity, pidfd: number): WatchedProcess {
    const token = this.#nextToken++;
    const exited = new Promise<ProcessExit>((settle) => {
      this.#watches.set(token, { pidfd, settle });
    });
    native.exitWatchAdd(pidfd, token);
    return { identity, exited, signal: async (name) => this.#signal(token, name) };
  }

  /** Calls back with what the network loses. Throws where the kernel does not tell. */
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
      // ESRCH: it has ended, the news is still on its way to us.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}
