// engine, vms: ends a running hypervisor: request to power off, grace period, SIGTERM, SIGKILL. grace.ts computes the
// grace period; launcher.ts releases what the VM used.

import type { Limits } from '../../../config/limits.ts';
import { within } from '../../../lib/deadline.ts';
import { VolantError } from '../../../lib/errors.ts';
import type { Logger } from '../../../lib/log/log.ts';
import type { Turn } from '../../../lib/queues/turn.ts';
import type { Boots } from '../../boots/boots.ts';
import { Slots } from '../../boots/slots.ts';
import { requestIn } from '../../events/cause.ts';
import type { ProcessExit } from '../../ports/process-ports.ts';
import type { PortPublisher } from '../../published-ports/port-publisher.ts';
import type { VmRecord } from '../../records.ts';
import type { State } from '../../state/state.ts';
import type { RunningVm } from '../processes/live.ts';
import {
  answeredGraceMsOf,
  configuredGraceMs,
  type GuestFacts,
  graceMsOf,
  workloadGraceMsOf,
} from './grace.ts';

export interface GuestShutdownParts {
  readonly state: Pick<State, 'store'>;
  readonly boots: Pick<Boots, 'isOver'>;
  readonly publisher: Pick<PortPublisher, 'drain'>;
  readonly cores: number;
  readonly limits: Pick<Limits, 'stopTerminateMs' | 'stopKillMs' | 'endPlaceMs' | 'endsPerCore'>;
  readonly log: Logger;
}

export class GuestShutdown {
  readonly #parts: GuestShutdownParts;
  /**
   * Bounds how many guests power off at a time. Under emulation they slow each other down beyond their grace periods.
   */
  readonly #slots = new Slots();
  /** By VM: until when a guest that was asked to power off must have done so, on the clock of performance.now(). */
  readonly #deadlines = new WeakMap<RunningVm, number>();

  constructor(parts: GuestShutdownParts) {
    this.#parts = parts;
  }

  /**
   * Ends the process: request to power off, then SIGTERM, then SIGKILL, each with a deadline of its own. Resolves to
   * null if the turn was aborted during the grace period; the wanted state has changed by then, so take the next step.
   * Throws STOP_FAILED if the process survives SIGKILL.
   */
  async end(record: VmRecord, vm: RunningVm, turn: Turn): Promise<ProcessExit | null> {
    const { name } = record;
    const subject = { vm: name, ...requestIn(record.wanted.cause) };
    const { exited } = vm.process;
    const guest = this.#factsOf(record, vm);
    const graceMs = graceMsOf(record.wanted, guest);
    // Clients and guests may be slow here, so the turn's share of the budget is given to other VMs meanwhile.
    await turn.wait((signal) => this.#drain(record, graceMs, signal));
    if (graceMs > 0) {
      const exit = await turn.wait((signal) => this.#powerOff(record, vm, guest, signal));
      if (exit !== undefined) return exit;
    }
    if (turn.signal.aborted) return null;
    if (graceMs > 0) {
      this.#parts.log.warn(subject, 'grace period is over, sending SIGTERM');
    }
    await vm.process.signal('SIGTERM');
    const terminated = await within(exited, this.#parts.limits.stopTerminateMs);
    if (terminated !== undefined) return terminated;
    this.#parts.log.warn(subject, 'hypervisor ignored SIGTERM, sending SIGKILL');
    return this.kill(vm, name);
  }

  /** Ends the process with SIGKILL. Throws STOP_FAILED if it survives until the deadline. */
  async kill(vm: RunningVm, name: string): Promise<ProcessExit> {
    await vm.process.signal('SIGKILL');
    const killed = await within(vm.process.exited, this.#parts.limits.stopKillMs);
    if (killed !== undefined) return killed;
    throw new VolantError('STOP_FAILED', `The hypervisor of VM ${name} outlived SIGKILL`);
  }

  #factsOf({ id, configVersion }: VmRecord, vm: RunningVm): GuestFacts {
    const { state, boots } = this.#parts;
    const stored = state.store.config(id, configVersion);
    return {
      configuredMs: stored === undefined ? null : configuredGraceMs(stored.config),
      hasBooted: boots.isOver(vm),
      isAgentSilent: vm.agent !== null && !vm.agent.connected,
    };
  }

  /** A grace period from the request, or of zero, bounds the drain as well. */
  #drain({ id, wanted }: VmRecord, graceMs: number, signal: AbortSignal): Promise<void> {
    const isBounded = graceMs === 0 || typeof wanted.graceMs === 'number';
    return this.#parts.publisher.drain(id, () =>
      isBounded ? AbortSignal.any([signal, AbortSignal.timeout(graceMs)]) : signal,
    );
  }

  /** undefined if the guest did not power off in time, or if the signal aborts. */
  async #powerOff(
    { id, name, wanted }: VmRecord,
    vm: RunningVm,
    guest: GuestFacts,
    signal: AbortSignal,
  ): Promise<ProcessExit | undefined> {
    const asked = this.#deadlines.get(vm);
    // A guest without an agent takes no processor time while it powers off, so it needs no slot.
    const mayCrowd = asked === undefined && vm.agent !== null;
    if (mayCrowd && !(await this.#enter(id, vm, signal))) return undefined;
    const leftOf = (graceMs: number) => {
      const nowMs = performance.now();
      return Math.max(0, Math.min(asked ?? Number.POSITIVE_INFINITY, nowMs + graceMs) - nowMs);
    };
    const leftMs = leftOf(graceMsOf(wanted, guest));
    const longestMs = leftOf(answeredGraceMsOf(wanted, guest));
    this.#deadlines.set(vm, performance.now() + longestMs);
    const request = askToPowerOff(vm, name, leftMs, signal, this.#parts.log);
    const ended = Promise.race([vm.process.exited, abortOf(signal)]);
    const place = setTimeout(() => this.#slots.leave(id), this.#parts.limits.endPlaceMs);
    try {
      const exit = await within(ended, leftMs);
      if (exit !== undefined || !request.accepted) return exit;
      return await within(ended, longestMs - leftMs);
    } finally {
      clearTimeout(place);
      this.#slots.leave(id);
    }
  }

  /** false if the signal aborts before a slot is free. A process that exits meanwhile does not wait any longer. */
  async #enter(vmId: number, vm: RunningVm, signal: AbortSignal): Promise<boolean> {
    const over = new AbortController();
    const end = () => over.abort();
    void vm.process.exited.then(end);
    signal.addEventListener('abort', end, { once: true });
    if (signal.aborted) end();
    try {
      const { limits, cores } = this.#parts;
      await this.#slots.enter(vmId, limits.endsPerCore * cores, over.signal);
    } catch (error) {
      if (!over.signal.aborted) throw error;
    } finally {
      signal.removeEventListener('abort', end);
    }
    if (signal.aborted) this.#slots.leave(vmId);
    return !signal.aborted;
  }
}

/**
 * Asks the agent and presses the power button at the same time, because a guest without our agent knows only the
 * button. `accepted` becomes true when the agent confirms.
 */
function askToPowerOff(
  vm: RunningVm,
  name: string,
  graceMs: number,
  outer: AbortSignal,
  log: Logger,
): { readonly accepted: boolean } {
  const request = { accepted: false };
  // Only an agent, and a connection that has to be made, are waited for.
  const isWaited = vm.agent !== null || vm.control.current === null;
  const signal = isWaited
    ? AbortSignal.any([outer, AbortSignal.timeout(Math.ceil(graceMs))])
    : outer;
  const asked = [
    vm.control.powerButton(signal),
    vm.agent?.powerOff(workloadGraceMsOf(graceMs), signal).then(() => {
      request.accepted = true;
    }),
  ];
  for (const answer of asked) {
    answer?.catch((error: unknown) => {
      log.debug({ vm: name, err: error }, 'a request to power off was not delivered');
    });
  }
  return request;
}

/** Resolves to undefined when the signal aborts. */
function abortOf(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    else signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
}
