// engine: what the end of a hypervisor process means for its VM. Pure.

import type { GuestEnd, ProcessExit } from '../ports.ts';

export interface ExitMeaning {
  readonly status: 'stopped' | 'crashed';
  /** A sentence for the event. */
  readonly message: string;
  /** It came up without a clock that runs: another launch of it may go well. */
  readonly brokenClock?: true;
}

const GUEST_ENDS: Readonly<Record<GuestEnd, ExitMeaning>> = {
  'power-off': { status: 'stopped', message: 'The guest powered off' },
  'host-request': { status: 'stopped', message: 'The hypervisor was told to end' },
  // Guests run with panic=-1 and the hypervisor with -no-reboot: a panic shows as a reset.
  reset: { status: 'crashed', message: 'The guest reset itself, as it does after a kernel panic' },
  panic: { status: 'crashed', message: 'The guest kernel panicked' },
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
