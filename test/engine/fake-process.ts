// test: a stand-in for a hypervisor's process.

import type { ProcessExit, WatchedProcess } from '../../src/engine/ports/process-ports.ts';
import type { ProcessIdentity } from '../../src/engine/records.ts';

/** A process that ends when it is told to. */
export class FakeProcess implements WatchedProcess {
  readonly identity: ProcessIdentity;
  readonly exited: Promise<ProcessExit>;
  readonly signals: string[] = [];
  ignores: readonly string[] = [];
  end: (exit: ProcessExit) => void = () => undefined;

  constructor(pid: number) {
    this.identity = { pid, startTimeTicks: pid * 10, bootId: 'boot-1' };
    this.exited = new Promise((resolve) => {
      this.end = resolve;
    });
  }

  async signal(name: 'SIGTERM' | 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): Promise<void> {
    this.signals.push(name);
    if (this.ignores.includes(name)) return;
    if (name === 'SIGKILL') this.end({ code: null, signal: 'SIGKILL' });
    if (name === 'SIGTERM') this.end({ code: 0, signal: null });
  }
}
