// engine, vms: what this daemon knows of each VM beside its record: the watched process, the connections to it, and
// what was released. It is in memory only and is found again after a restart.

import type { AgentConnection } from '../../ports/hypervisor-ports.ts';
import type { ProcessExit, WatchedProcess } from '../../ports/process-ports.ts';
import type { VmRecord } from '../../records.ts';
import type { LaunchDraft } from '../launch/launch-planner.ts';
import type { RuntimeFacts } from '../next-step.ts';
import type { ControlLink } from './control-link.ts';
import type { ExitMeaning } from './exit-meaning.ts';

/** A running hypervisor and the connections to it. */
export interface RunningVm {
  readonly process: WatchedProcess;
  readonly control: ControlLink;
  /** null if the driver has no agent, and until the control socket answers. */
  agent: AgentConnection | null;
}

/** How a process ended: seen by this daemon, or missed because no daemon ran. */
export type ProcessEnd = { readonly exit: ProcessExit } | { readonly missed: ExitMeaning };

/** What is known of one VM. Only steps change it. */
export interface Live {
  isKnown: boolean;
  /** The hypervisor of the current launch, until it is released. */
  vm: RunningVm | null;
  /** How that hypervisor, or the one of an earlier daemon, ended. */
  end: ProcessEnd | null;
  /**
   * The meaning of the end if the kernel killed the hypervisor for lack of memory; null if it did not, or before this
   * was checked.
   */
  oom: ExitMeaning | null;
  isReleased: boolean;
  releaseFailed: boolean;
  /** There may be logs, sockets and disks of the VM. */
  hasFiles: boolean;
  failure: { readonly launch: number; readonly error: unknown } | null;
  /** The resolved draft of the wanted launch, if its request has resolved it already. */
  draft: LaunchDraft | null;
}

export class LiveVms {
  readonly #all = new Map<number, Live>();
  readonly #listeners = new Set<(vmId: number) => void>();

  /** What is known of a VM. An unknown VM gets an empty entry. */
  of(vmId: number): Live {
    const known = this.#all.get(vmId);
    if (known !== undefined) return known;
    const live: Live = {
      isKnown: false,
      vm: null,
      end: null,
      oom: null,
      isReleased: false,
      releaseFailed: false,
      hasFiles: true,
      failure: null,
      draft: null,
    };
    this.#all.set(vmId, live);
    return live;
  }

  /** Calls the listener when the process of a VM has ended. */
  subscribe(listener: (vmId: number) => void): void {
    this.#listeners.add(listener);
  }

  /** Watches a process of the VM from now on, until its exit is seen. */
  watch(vmId: number, vm: RunningVm): void {
    const live = this.of(vmId);
    Object.assign(live, { isKnown: true, vm, end: null, oom: null, isReleased: false });
    void vm.process.exited.then((exit) => {
      if (live.vm !== vm) return;
      live.end ??= { exit };
      for (const listener of this.#listeners) listener(vmId);
    });
  }

  /** Why the last launch of a VM failed; null if it did not, or if the VM is unknown. */
  failureOf(vmId: number): Live['failure'] {
    return this.#all.get(vmId)?.failure ?? null;
  }

  /** Adds a new VM, of which nothing is on the host. */
  add(vmId: number, draft: LaunchDraft): void {
    Object.assign(this.of(vmId), { isKnown: true, isReleased: true, draft });
  }

  /** Discards what is known of the VM, because it may be wrong. The host is inspected before the next step. */
  invalidate(vmId: number): void {
    const live = this.of(vmId);
    live.vm?.control.close();
    live.vm?.agent?.close();
    Object.assign(live, { isKnown: false, vm: null, end: null, isReleased: false });
  }

  /** The draft of the wanted launch, if its request has resolved it already. */
  draftOf(vmId: number): LaunchDraft | null {
    return this.#all.get(vmId)?.draft ?? null;
  }

  /** Removes a deleted VM. */
  forget(vmId: number): void {
    this.#all.delete(vmId);
  }

  /** The input of nextStep. */
  factsOf({ id, wanted }: VmRecord): RuntimeFacts {
    const { isKnown, vm, end, isReleased, releaseFailed, failure } = this.of(id);
    const process = !isKnown ? 'unknown' : vm !== null && end === null ? 'alive' : 'gone';
    return { process, isReleased, releaseFailed, launchFailed: failure?.launch === wanted.launch };
  }

  /** undefined while no hypervisor of the VM runs. */
  runningVm(vmId: number): RunningVm | undefined {
    const live = this.#all.get(vmId);
    return live?.end === null && live.vm !== null ? live.vm : undefined;
  }

  runningIds(): readonly number[] {
    return [...this.#all.keys()].filter((vmId) => this.runningVm(vmId) !== undefined);
  }

  /** Closes the connections to all hypervisors; the hypervisors keep running. */
  disconnect(): void {
    for (const { vm } of this.#all.values()) {
      vm?.control.close();
      vm?.agent?.close();
    }
    this.#all.clear();
  }
}
