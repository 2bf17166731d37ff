// engine, media: the events about a VM's images: progress of a download, its end, its failure; and a full disk.

import type { Clock } from '../../lib/clock.ts';
import { withoutSecrets } from '../../lib/formats/image-location.ts';
import type { Logger } from '../../lib/log/log.ts';
import { requestIn } from '../events/cause.ts';
import { otherEvent } from '../events/events.ts';
import type { MediaProgress } from '../ports/media-ports.ts';
import type { VmRecord } from '../records.ts';
import type { State } from '../state/state.ts';

/** Progress is reported after this many percent or ms. */
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

/** Writes an event in the background. If it cannot be written, that is logged and nothing else stops. */
export function emitMediaEvent(
  { state, clock, log }: MediaEventParts,
  { name, status, replica, wanted }: VmRecord,
  type: MediaEventType,
  message: string,
): void {
  const deployment = replica === undefined ? {} : { deployment: replica.deployment };
  const subject = { name, status, ...deployment };
  // An image is needed because a launch was requested; a full disk has no such cause.
  const cause = DISK_EVENTS.includes(type) ? undefined : wanted.cause;
  const event = otherEvent(type, subject, clock.nowMs(), message, cause);
  state.commit([], [event]).catch((error: unknown) => {
    log.warn({ vm: name, ...requestIn(cause), err: error }, 'an event could not be written');
  });
}

/** A function that reports the progress of one download of a VM, whenever it has advanced enough. */
export function progressReporter(
  parts: MediaEventParts,
  record: VmRecord,
  location: string,
): (progress: MediaProgress) => void {
  return progressSteps(parts.clock, location, (text) =>
    emitMediaEvent(parts, record, 'MEDIA_DOWNLOADING', text),
  );
}

/** Calls `tell` with a text about a download whenever it has advanced enough. */
export function progressSteps(
  clock: Clock,
  location: string,
  tell: (text: string) => void,
): (progress: MediaProgress) => void {
  let percentReported = Number.NEGATIVE_INFINITY;
  let reportedAtMs = Number.NEGATIVE_INFINITY;
  return ({ receivedBytes, totalBytes }) => {
    const nowMs = clock.monotonicMs();
    const percent = totalBytes === null ? 0 : (100 * receivedBytes) / Math.max(1, totalBytes);
    const isDue =
      percent - percentReported >= PROGRESS_STEP_PERCENT ||
      nowMs - reportedAtMs >= PROGRESS_STEP_MS;
    if (!isDue) return;
    percentReported = percent;
    reportedAtMs = nowMs;
    const received = (receivedBytes / MEBIBYTE).toFixed(1);
    const total = totalBytes === null ? '' : ` of ${(totalBytes / MEBIBYTE).toFixed(1)}`;
    tell(`${withoutSecrets(location)}: ${received}${total} MiB`);
  };
}
