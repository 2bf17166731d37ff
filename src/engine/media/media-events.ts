// engine: what is told of the images of a VM while it waits for them: how far a download is, that it is
// there, why it is not.

import type { Clock } from '../../lib/clock.ts';
import { withoutSecrets } from '../../lib/image-location.ts';
import type { Logger } from '../../lib/log.ts';
import { requestIn } from '../cause.ts';
import { otherEvent } from '../events.ts';
import type { MediaProgress } from '../media-ports.ts';
import type { VmRecord } from '../records.ts';
import type { State } from '../state.ts';

/** Downloads are told of when they have come so much further, in percent, or after so long. */
const PROGRESS_STEP_PERCENT = 10;
const PROGRESS_STEP_MS = 5_000;
const MEBIBYTE = 2 ** 20;

export type MediaEventType =
  | 'MEDIA_DOWNLOADING'
  | 'MEDIA_READY'
  | 'MEDIA_FAILED'
  | 'MEDIA_DISK_FULL'
  | 'MEDIA_DISK_FREED';

const DISK_EVENTS: readonly MediaEventType[] = ['MEDIA_DISK_FULL', 'MEDIA_DISK_FREED'];

export interface MediaEventParts {
  readonly state: State;
  readonly clock: Clock;
  readonly log: Logger;
}

/** An event that cannot be written is no reason to stop anything. */
export function tellMedia(
  { state, clock, log }: MediaEventParts,
  { name, status, replica, wanted }: VmRecord,
  type: MediaEventType,
  message: string,
): void {
  const deployment = replica === undefined ? {} : { deployment: replica.deployment };
  const subject = { name, status, ...deployment };
  // An image is waited for because a launch is wanted; that a disk is full is nobody's wish.
  const cause = DISK_EVENTS.includes(type) ? undefined : wanted.cause;
  const event = otherEvent(type, subject, clock.nowMs(), message, cause);
  state.commit([], [event]).catch((error: unknown) => {
    log.warn({ vm: name, ...requestIn(cause), err: error }, 'an event could not be written');
  });
}

/** Tells the progress of one download where it is news. */
export function progressTeller(
  parts: MediaEventParts,
  record: VmRecord,
  location: string,
): (progress: MediaProgress) => void {
  let percentTold = Number.NEGATIVE_INFINITY;
  let toldAtMs = Number.NEGATIVE_INFINITY;
  return ({ receivedBytes, totalBytes }) => {
    const nowMs = parts.clock.monotonicMs();
    const percent = totalBytes === null ? 0 : (100 * receivedBytes) / Math.max(1, totalBytes);
    const isNews =
      percent - percentTold >= PROGRESS_STEP_PERCENT || nowMs - toldAtMs >= PROGRESS_STEP_MS;
    if (!isNews) return;
    percentTold = percent;
    toldAtMs = nowMs;
    const received = (receivedBytes / MEBIBYTE).toFixed(1);
    const total = totalBytes === null ? '' : ` of ${(totalBytes / MEBIBYTE).toFixed(1)}`;
    const what = `${withoutSecrets(location)}: ${received}${total} MiB`;
    tellMedia(parts, record, 'MEDIA_DOWNLOADING', what);
  };
}
