// engine, vms: what this daemon knows of each VM beside its record: the process that it watches, the connections to it,
// and how far the host was cleaned up. All of it is found again after a restart.

import type { AgentConnection, ProcessExit, WatchedProcess } from '../ports.ts';
import type { VmRecord } from '../records.ts';
import type { ControlLink } from './control-link.ts';
import type { ExitMeaning } from './exit-meaning.ts';
import type { LaunchDraft } from './launch-planner.ts';
import type { Sight } from './next-step.ts';

/** A hypervisor that runs, and the connections to it. */
export interface RunningVm {
  readonly process: WatchedProcess;
  readonly control: ControlLink;
  /** null where the driver has no agent, and until the control socket of a launch answered. */
  agent: AgentConnection | null;
}

/** How a process ended: seen by this daemon, or found to be gone when it started. */
export type ProcessEnd = { readonly exit: ProcessExit } | { readonly missed: ExitMeaning };

/** What is known of one VM. Only the steps change it. */
export interface Live {
  isKnown: boolean;
  /** The hypervisor of the present launch, until it was released. */
  vm: RunningVm | null;
  /** How that hypervisor, or the one before this daemon, ended. */
  end: ProcessEnd | null;
  /** What that end means where the kernel killed it for want of memory; null: it did not, or it was not asked yet. */
  oom: ExitMeaning | null;
  isReleased: boolean;
  releaseFailed: boolean;
  /** There may be logs, sockets and disks of it. */
  hasFiles: boolean;
  failure: { readonly launch: number; readonly error: unknown } | null;
  /** The launch that is wanted, when it was resolved with its request already. */
  draft: LaunchDraft | null;
}

export class LiveVms {
  readonly #all = new Map<number, Live>();
  readonly #listeners = new Set<(vmId: number) => void>();

  /** What is known; of a VM that was never asked for that is nothing. */
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

  /** Calls back when the process of a VM has ended. */
  subscribe(listener: (vmId: number) => void): void {
    this.#listeners.add(listener);
  }

  /** A process of the VM lives from here on, until its exit is seen. */
  watch(vmId: number, vm: RunningVm): void {
    const live = this.of(vmId);
    Object.assign(live, { isKnown: true, vm, end: null, oom: null, isReleased: false });
    void vm.process.exited.then((exit) => {
      if (live.vm !== vm) return;
      live.end ??= { exit };
      for (const listener of this.#listeners) listener(vmId);
    });
  }

  /** Why the last launch of a VM went wrong; null when it did not, or nothing is known of the VM. */
  failureOf(vmId: number): Live['failure'] {
    return this.#all.get(vmId)?.failure ?? null;
  }

  /** A VM that is new: the host has nothing of it. */
  add(vmId: number, draft: LaunchDraft): void {
    Object.assign(this.of(vmId), { isKnown: true, isReleased: true, draft });
  }

  /** What is known of the VM may be wrong: the host is looked at again before anything else is done for it. */
  doubt(vmId: number): void {
    const live = this.of(vmId);
    live.vm?.control.close();
    live.vm?.agent?.close();
    Object.assign(live, { isKnown: false, vm: null, end: null, isReleased: false });
  }

  /** The launch that is wanted, if it was resolved with its request. */
  draftOf(vmId: number): LaunchDraft | null {
    return this.#all.get(vmId)?.draft ?? null;
  }

  forget(vmId: number): void {
    this.#all.delete(vmId);
  }

  sightOf({ id, wanted }: VmRecord): Sight {
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

  /** Closes the connections to all hypervisors; they run on. */
  disconnect(): void {
    for (const { vm } of this.#all.values()) {
      vm?.control.close();
      vm?.agent?.close();
    }
    this.#all.clear();
  }
}
