// engine, media: handles guests that their hypervisor has paused because a disk of the host is full. It reports them,
// and resumes them when the disk has free space again.

import type { Limits } from '../../config/limits.ts';
import type { ControlConnection } from '../ports/hypervisor-ports.ts';
import type { VmRecord } from '../records.ts';
import { emitMediaEvent, type MediaEventParts } from './media-events.ts';

export interface DiskGuardParts extends MediaEventParts {
  /** Called when a guest is paused because a disk is full, and when it runs again. */
  readonly observe: (vmId: number, isDiskFull: boolean) => void;
  readonly limits: Pick<Limits, 'diskFullRetryMs'>;
}

export class DiskGuard {
  readonly #parts: DiskGuardParts;

  constructor(parts: DiskGuardParts) {
    this.#parts = parts;
  }

  /** Watches a VM as long as its control connection lasts. The guest of an adopted hypervisor may be paused already. */
  watch(record: VmRecord, control: ControlConnection, wasAdopted: boolean): void {
    let timer: NodeJS.Timeout | undefined;
    let isFull = false;
    const resumeGuest = () => {
      if (!isFull) {
        clearInterval(timer);
        timer = undefined;
        this.#parts.observe(record.id, false);
        this.#report(
          record,
          'MEDIA_DISK_FREED',
          'The disk has free space again: the guest is resumed',
        );
        return;
      }
      // The guest repeats the failed write. If the disk is still full, it fails at once and onDiskFull is called again.
      isFull = false;
      control.resume().catch((error: unknown) => {
        isFull = true;
        this.#parts.log.warn(
          { vm: record.name, err: error },
          'a paused guest could not be resumed',
        );
      });
    };
    const onFull = () => {
      isFull = true;
      if (timer !== undefined) return;
      timer = setInterval(resumeGuest, this.#parts.limits.diskFullRetryMs).unref();
      this.#parts.observe(record.id, true);
      this.#report(record, 'MEDIA_DISK_FULL', 'The disk of the host is full: the guest is paused');
    };
    control.onDiskFull(onFull);
    void control.ended.then(() => clearInterval(timer));
    if (wasAdopted) void this.#checkStatus(record, control, onFull);
  }

  async #checkStatus(
    record: VmRecord,
    control: ControlConnection,
    onFull: () => void,
  ): Promise<void> {
    try {
      if ((await control.status()) === 'io-error') onFull();
      else this.#parts.observe(record.id, false);
    } catch (error) {
      this.#parts.log.warn(
        { vm: record.name, err: error },
        'an adopted hypervisor does not answer',
      );
    }
  }

  #report(record: VmRecord, type: 'MEDIA_DISK_FULL' | 'MEDIA_DISK_FREED', message: string): void {
    this.#parts.log.warn({ vm: record.name }, message);
    emitMediaEvent(this.#parts, record, type, message);
  }
}
