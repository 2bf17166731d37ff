// engine, vms: what the end of a hypervisor process means for its VM, as a status and a message. Pure.

import type { GuestEnd } from '../../ports/hypervisor-ports.ts';
import type { OomEvidence, ProcessExit } from '../../ports/process-ports.ts';

/** What the kernel of a guest said of its own end; null: nothing. */
export type ConsoleEnd = 'panicked' | 'rebooted' | null;

export interface ExitMeaning {
  readonly status: 'stopped' | 'crashed';
  /** A sentence for the event's message. */
  readonly message: string;
  /** The reason of a crash, as one word for programs. */
  readonly reason?: 'KernelPanic' | 'OutOfMemory' | 'RebootsTooOften';
  /** The guest did not come up as it should; another launch may succeed. */
  readonly badBoot?: true;
  /** The hypervisor exited normally. Only the guest's console shows what the guest did. */
  readonly needsConsole?: true;
  /** The guest asked for a reboot. */
  readonly reboots?: true;
}

const GUEST_ENDS: Readonly<Record<GuestEnd, ExitMeaning>> = {
  'power-off': { status: 'stopped', message: 'The guest powered off' },
  'host-request': { status: 'stopped', message: 'The hypervisor was asked to end' },
  // Guests run with panic=-1 and the hypervisor with -no-reboot, so a panic appears as a reset.
  reset: {
    status: 'crashed',
    message: 'The guest was reset, which a kernel panic causes',
    needsConsole: true,
  },
  panic: { status: 'crashed', message: 'The guest kernel panicked', reason: 'KernelPanic' },
};

const BROKEN_CLOCK: ExitMeaning = {
  status: 'crashed',
  message:
    "The guest's clock is broken: its kernel came up without a timer that fires. If this repeats, check its kernel_cmdline or lower VOLANT_BOOTS_MAX",
  badBoot: true,
};

/** Of a guest that hung before its agent could answer. */
export const HUNG_BOOT: ExitMeaning = {
  status: 'crashed',
  message:
    'The guest hung in its boot: its agent did not answer, as that of other guests of the same image does. If this repeats, lower VOLANT_BOOTS_MAX',
  badBoot: true,
};

/**
 * What an exit means. A signal or a nonzero exit status counts first, then what the hypervisor reported about its
 * guest.
 */
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
  if (exit.code === 0) return { status: 'stopped', message: 'The hypervisor exited normally' };
  return { status: 'crashed', message: 'The hypervisor is gone' };
}

/**
 * Refines `meaning` by the evidence from the guest's console, which counts only if the hypervisor did not know the
 * reason.
 */
export function meaningWithConsole(meaning: ExitMeaning, end: ConsoleEnd): ExitMeaning {
  if (meaning.needsConsole !== true || end === null) return meaning;
  return end === 'panicked'
    ? GUEST_ENDS.panic
    : { status: 'crashed', message: 'The guest rebooted', reboots: true };
}

/** What the OOM counters say about a hypervisor that this daemon did not kill; null if memory was not the reason. */
export function meaningOfOom(evidence: OomEvidence, memoryBytesMax: number): ExitMeaning | null {
  const say = (message: string): ExitMeaning => {
    return { status: 'crashed', reason: 'OutOfMemory', message };
  };
  const killed = 'The kernel killed the hypervisor';
  const { ofCgroup, hitLimit, isNewOnHost } = evidence;
  if (ofCgroup !== null && ofCgroup > 0) {
    const mib = Math.round(memoryBytesMax / 1024 ** 2);
    return hitLimit
      ? say(`${killed}: it exceeded its memory limit of ${mib} MiB`)
      : say(`${killed}: the host ran out of memory`);
  }
  // Without a counter for each cgroup, the counter of the whole host is the only evidence.
  return ofCgroup === null && isNewOnHost
    ? say(`${killed}: the host probably ran out of memory`)
    : null;
}
