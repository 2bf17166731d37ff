// host: real-time priority of the main thread. It answers all clients, and on a busy host an ordinary thread waits
// milliseconds for a processor, whatever its nice value is. Nice values are in lib/priority.ts.

import type { Logger } from '../lib/log/log.ts';
import { native } from './jobs/native.ts';

const CHECK_INTERVAL_MS = 100;

/**
 * Shares of one processor. The kernel stops a real-time thread that uses 95 % of a second until the second is over
 * (sched(7), "Limiting the CPU usage of real-time and deadline processes"). A thread as busy as that is an ordinary one
 * before, and until it is less busy again.
 */
const BUSY_SHARE = 0.8;
const CALM_SHARE = 0.6;

/** What the calling thread is given, and what it has used. */
export type Scheduling = Pick<typeof native, 'threadRealTime' | 'threadCpuMs'>;

export interface RealTime {
  /** Makes the thread an ordinary one. */
  end(): void;
}

/** Whether a thread that used this share of a processor is a real-time thread from now on. */
export function isRealTimeNext(isRealTime: boolean, share: number): boolean {
  return share < (isRealTime ? BUSY_SHARE : CALM_SHARE);
}

/**
 * Gives the calling thread real-time priority while it leaves enough of a processor to others. Where the host does not
 * allow it, the thread stays as it is. Threads that it needs must be there already: what it starts from now on has a
 * nice value that is not negative.
 */
export function keepRealTime(log: Logger, scheduling: Scheduling = native): RealTime {
  let isRealTime = false;
  let usedMs = scheduling.threadCpuMs();
  let checkedMs = performance.now();
  const become = (next: boolean): boolean => {
    try {
      scheduling.threadRealTime(next);
    } catch (error) {
      log.info({ err: error }, 'the main thread has no real-time priority');
      return false;
    }
    isRealTime = next;
    return true;
  };
  const check = () => {
    const nowMs = performance.now();
    const nowUsedMs = scheduling.threadCpuMs();
    const next = isRealTimeNext(isRealTime, (nowUsedMs - usedMs) / (nowMs - checkedMs));
    usedMs = nowUsedMs;
    checkedMs = nowMs;
    if (next !== isRealTime && !become(next)) clearInterval(timer);
  };
  const timer = setInterval(check, CHECK_INTERVAL_MS).unref();
  if (!become(true)) clearInterval(timer);
  return {
    end: () => {
      clearInterval(timer);
      if (isRealTime) become(false);
    },
  };
}
