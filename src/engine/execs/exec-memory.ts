// engine, execs: what was seen of execs last, in memory only, so that one whose VM has ended is reported as lost. After a restart
// of the daemon the guests that still run know theirs.

import { LIMITS } from '../../config/limits.ts';
import type { Exec } from '../../schema/exec.ts';
import type { VmRecord } from '../records.ts';

interface OfVm {
  /** Of the hypervisor in which they run. */
  process: string;
  readonly execs: Map<string, Exec>;
}

export class ExecMemory {
  readonly #vms = new Map<number, OfVm>();
  readonly #most: number;
  #count = 0;

  constructor(most: number = LIMITS.execsRememberedMax) {
    this.#most = most;
  }

  get(vmId: number, id: string): Exec | undefined {
    return this.#vms.get(vmId)?.execs.get(id);
  }

  /** Of one VM, in the order in which they were seen first. */
  all(vmId: number): readonly Exec[] {
    return [...(this.#vms.get(vmId)?.execs.values() ?? [])];
  }

  put(record: VmRecord, exec: Exec): void {
    const ofVm = this.#vms.get(record.id) ?? { process: keyOf(record), execs: new Map() };
    this.#vms.set(record.id, ofVm);
    if (!ofVm.execs.has(exec.id)) this.#count += 1;
    ofVm.execs.set(exec.id, exec);
    while (this.#count > this.#most) this.#dropOldest();
    // The hypervisor may have ended while the agent's answer was on its way.
    this.recordChanged(record.id, record);
  }

  forget(vmId: number, id: string): void {
    const ofVm = this.#vms.get(vmId);
    if (ofVm?.execs.delete(id)) this.#count -= 1;
    if (ofVm?.execs.size === 0) this.#vms.delete(vmId);
  }

  /** Marks the execs of a hypervisor that has ended as lost, and forgets those of a VM that is gone. */
  recordChanged(vmId: number, record: VmRecord | undefined): void {
    const ofVm = this.#vms.get(vmId);
    if (ofVm === undefined) return;
    if (record === undefined) {
      this.#count -= ofVm.execs.size;
      this.#vms.delete(vmId);
      return;
    }
    const key = keyOf(record);
    if (key === ofVm.process) return;
    ofVm.process = key;
    for (const [id, exec] of ofVm.execs) {
      if (exec.state === 'running') {
        ofVm.execs.set(id, { ...exec, state: 'lost', stdin_open: false });
      }
    }
  }

  #dropOldest(): void {
    const [vmId, ofVm] = this.#vms.entries().next().value ?? [];
    const id = ofVm?.execs.keys().next().value;
    if (vmId !== undefined && id !== undefined) this.forget(vmId, id);
    else this.#count = 0;
  }
}

/** Differs for each launch; empty while no hypervisor runs. */
function keyOf({ process }: VmRecord): string {
  return process === null ? '' : JSON.stringify(process);
}
