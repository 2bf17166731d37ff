// engine: what the end of a hypervisor process means for its VM. Pure.

import type { GuestEnd, OomEvidence, ProcessExit } from '../ports.ts';
import type { SaidEnd } from './console-words.ts';

export interface ExitMeaning {
  readonly status: 'stopped' | 'crashed';
  /** A sentence for the event. */
  readonly message: string;
  /** One word for programs, of a crash. */
  readonly reason?: 'KernelPanic' | 'OutOfMemory' | 'RebootsTooOften';
  /** It came up without a clock that runs: another launch of it may go well. */
  readonly brokenClock?: true;
  /** The hypervisor ended in good order: what its guest did, only the guest's console knows. */
  readonly isOpen?: true;
  /** The guest wants to come up again. */
  readonly reboots?: true;
}

const GUEST_ENDS: Readonly<Record<GuestEnd, ExitMeaning>> = {
  'power-off': { status: 'stopped', message: 'The guest powered off' },
  'host-request': { status: 'stopped', message: 'The hypervisor was told to end' },
  // Guests run with panic=-1 and the hypervisor with -no-reboot: a panic shows as a reset.
  reset: {
    status: 'crashed',
    message: 'The guest reset itself, as it does after a kernel panic',
    isOpen: true,
  },
  panic: { status: 'crashed', message: 'The guest kernel panicked', reason: 'KernelPanic' },
};

const BROKEN_CLOCK: ExitMeaning = {
  status: 'crashed',
  message:
    "The guest's clock is broken: its kernel came up without a timer that fires. Where that happens again and again, look at its kernel_cmdline, or let fewer guests boot at a time (VOLANT_BOOTS_MAX)",
  brokenClock: true,
};

/** What the hypervisor said about its guest counts more than how its process ended. */
export function meaningOfExit(
  exit: ProcessExit,
  guestEnd: GuestEnd | undefined,
  hasBrokenClock: boolean,
): ExitMeaning {
  if (hasBrokenClock) return BROKEN_CLOCK;
  if (exit.signal !== null) {
    return { status: 'crashed', message: `The hypervisor was killed by ${exit.signal}` };
  }
  if (exit.code !== null && exit.code !== 0) {
    return { status: 'crashed', message: `The hypervisor ended with status ${exit.code}` };
  }
  if (guestEnd !== undefined) return GUEST_ENDS[guestEnd];
  if (exit.code === 0) return { status: 'stopped', message: 'The hypervisor ended in good order' };
  return { status: 'crashed', message: 'The hypervisor is gone' };
}

/** The same with what the guest's console showed. It decides only where the hypervisor does not know better. */
export function meaningWithConsole(meaning: ExitMeaning, said: SaidEnd): ExitMeaning {
  if (meaning.isOpen !== true || said === null) return meaning;
  return said === 'panicked'
    ? GUEST_ENDS.panic
    : { status: 'crashed', message: 'The guest rebooted', reboots: true };
}

/** Why a hypervisor was killed that nobody here has killed; null where memory had nothing to do with it. */
export function meaningOfOom(evidence: OomEvidence, memoryBytesMax: number): ExitMeaning | null {
  const say = (message: string): ExitMeaning => {
    return { status: 'crashed', reason: 'OutOfMemory', message };
  };
  const killed = 'The kernel killed the hypervisor';
  const { ofCgroup, hitLimit, isNewOnHost } = evidence;
  if (ofCgroup !== null && ofCgroup > 0) {
    const mib = Math.round(memoryBytesMax / 1024 ** 2);
    return hitLimit
      ? say(`${killed}: it needed more memory than the ${mib} MiB that it may use`)
      : say(`${killed}: the host ran out of memory`);
  }
  // Where there are no counters for each hypervisor the host's own one is all that is known.
  return ofCgroup === null && isNewOnHost
    ? say(`${killed}, probably: the host ran out of memory`)
    : null;
}
