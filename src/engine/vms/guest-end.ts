// engine, vms: the end of a hypervisor that runs, from asking the guest to SIGKILL. How long the guest gets is grace's
// business, what is released afterwards launcher's.

import { LIMITS } from '../../config.ts';
import { within } from '../../lib/deadline.ts';
import { VolantError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';
import type { Boots } from '../boots/boots.ts';
import { requestIn } from '../cause.ts';
import type { Exposures } from '../exposures/exposures.ts';
import { Places } from '../places.ts';
import type { ProcessExit } from '../ports.ts';
import type { VmRecord } from '../records.ts';
import type { State } from '../state.ts';
import {
  answeredGraceMsOf,
  configuredGraceMs,
  type GuestFacts,
  graceMsOf,
  workloadGraceMsOf,
} from './grace.ts';
import type { RunningVm } from './live.ts';
import type { Turn } from './operations.ts';

export interface GuestEndsParts {
  readonly state: Pick<State, 'store'>;
  readonly boots: Pick<Boots, 'isOver'>;
  readonly exposures: Pick<Exposures, 'drain'>;
  readonly cores: number;
  readonly log: Logger;
}

export class GuestEnds {
  readonly #parts: GuestEndsParts;
  /** Under emulation guests that power off at once slow each other down, all of them past their grace. */
  readonly #places = new Places();
  /** Until when a guest that was asked to power off must have done so. */
  readonly #deadlines = new WeakMap<RunningVm, number>();

  constructor(parts: GuestEndsParts) {
    this.#parts = parts;
  }

  /**
   * Ends the process: the guest is asked to power off, then SIGTERM, then SIGKILL, each with its own bound. null when
   * the turn's work was given up while the guest had time left: something else is wanted of it by now, so ask again.
   * STOP_FAILED when the process outlives all of it.
   */
  async end(record: VmRecord, vm: RunningVm, turn: Turn): Promise<ProcessExit | null> {
    const { name } = record;
    const subject = { vm: name, ...requestIn(record.wanted.cause) };
    const { exited } = vm.process;
    const guest = this.#factsOf(record, vm);
    const graceMs = graceMsOf(record.wanted, guest);
    // Clients and guests may take their time to go: other VMs have this one's place meanwhile.
    await turn.wait((signal) => this.#drain(record, graceMs, signal));
    if (graceMs > 0) {
      const exit = await turn.wait((signal) => this.#powerOff(record, vm, guest, signal));
      if (exit !== undefined) return exit;
    }
    if (turn.signal.aborted) return null;
    if (graceMs > 0) {
      this.#parts.log.warn(subject, 'guest did not power off in time, sending SIGTERM');
    }
    await vm.process.signal('SIGTERM');
    const terminated = await within(exited, LIMITS.stopTerminateMs);
    if (terminated !== undefined) return terminated;
    this.#parts.log.warn(subject, 'hypervisor ignored SIGTERM, sending SIGKILL');
    return killGuest(vm, name);
  }

  #factsOf({ id, configVersion }: VmRecord, vm: RunningVm): GuestFacts {
    const { state, boots } = this.#parts;
    const stored = state.store.config(id, configVersion);
    return {
      configuredMs: stored === undefined ? null : configuredGraceMs(stored.config),
      hasBooted: boots.isOver(vm),
      isDeaf: vm.agent !== null && !vm.agent.connected,
    };
  }

  /** A grace that was asked for, or that is none, bounds this wait, too. */
  #drain({ id, wanted }: VmRecord, graceMs: number, signal: AbortSignal): Promise<void> {
    const isBounded = graceMs === 0 || typeof wanted.graceMs === 'number';
    const signals = isBounded ? [signal, AbortSignal.timeout(graceMs)] : [signal];
    return this.#parts.exposures.drain(id, AbortSignal.any(signals));
  }

  /** undefined when the guest has not powered off in time, or the signal aborts. */
  async #powerOff(
    { id, name, wanted }: VmRecord,
    vm: RunningVm,
    guest: GuestFacts,
    signal: AbortSignal,
  ): Promise<ProcessExit | undefined> {
    const asked = this.#deadlines.get(vm);
    // Where there is no agent there is no guest that would take a processor from others.
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
    const place = setTimeout(() => this.#places.leave(id), LIMITS.endPlaceMs);
    try {
      const exit = await within(ended, leftMs);
      if (exit !== undefined || !request.accepted) return exit;
      return await within(ended, longestMs - leftMs);
    } finally {
      clearTimeout(place);
      this.#places.leave(id);
    }
  }

  /** false when the signal aborts before the turn has come. One that ends meanwhile waits no longer. */
  async #enter(vmId: number, vm: RunningVm, signal: AbortSignal): Promise<boolean> {
    const over = new AbortController();
    const end = () => over.abort();
    void vm.process.exited.then(end);
    signal.addEventListener('abort', end, { once: true });
    if (signal.aborted) end();
    try {
      await this.#places.enter(vmId, LIMITS.endsPerCore * this.#parts.cores, over.signal);
    } catch (error) {
      if (!over.signal.aborted) throw error;
    } finally {
      signal.removeEventListener('abort', end);
    }
    if (signal.aborted) this.#places.leave(vmId);
    return !signal.aborted;
  }
}

/** Ends the process at once. STOP_FAILED when it outlives that. */
export async function killGuest(vm: RunningVm, name: string): Promise<ProcessExit> {
  await vm.process.signal('SIGKILL');
  const killed = await within(vm.process.exited, LIMITS.stopKillMs);
  if (killed !== undefined) return killed;
  throw new VolantError('STOP_FAILED', `The hypervisor of VM ${name} outlived SIGKILL`);
}

/** Agent and power button at once: a guest without our agent knows the button. `accepted`: the agent powers off. */
function askToPowerOff(
  vm: RunningVm,
  name: string,
  graceMs: number,
  outer: AbortSignal,
  log: Logger,
): { readonly accepted: boolean } {
  const request = { accepted: false };
  const signal = AbortSignal.any([outer, AbortSignal.timeout(Math.ceil(graceMs))]);
  const asked = [
    vm.control.powerButton(signal),
    vm.agent?.powerOff(workloadGraceMsOf(graceMs), signal).then(() => {
      request.accepted = true;
    }),
  ];
  for (const answer of asked) {
    answer?.catch((error: unknown) => {
      log.debug({ vm: name, err: error }, 'a request to power off was not taken');
    });
  }
  return request;
}

/** Resolves when the signal aborts. */
function abortOf(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    else signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
}
