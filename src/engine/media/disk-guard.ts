// engine: guests that their hypervisor has paused because a disk of the host is full. It is told, and they
// go on when there is room again.

import { LIMITS } from '../../config.ts';
import type { ControlConnection } from '../ports.ts';
import type { VmRecord } from '../records.ts';
import { type MediaEventParts, tellMedia } from './media-events.ts';

export interface DiskGuardParts extends MediaEventParts {
  /** Whether the guest is paused for want of room. */
  readonly see: (vmId: number, isDiskFull: boolean) => void;
}

export class DiskGuard {
  readonly #parts: DiskGuardParts;

  constructor(parts: DiskGuardParts) {
    this.#parts = parts;
  }

  /**
   * Looks after a VM as long as its control connection lasts. One that an earlier daemon launched may be
   * paused already.
   */
  watch(record: VmRecord, control: ControlConnection, wasAdopted: boolean): void {
    let timer: NodeJS.Timeout | undefined;
    let isFull = false;
    const goOn = () => {
      if (!isFull) {
        clearInterval(timer);
        timer = undefined;
        this.#parts.see(record.id, false);
        this.#tell(
          record,
          'MEDIA_DISK_FREED',
          'There is room on the disk again: the guest goes on',
        );
        return;
      }
      // The write that failed is tried again: without room it fails at once, and that is told again.
      isFull = false;
      control.resume().catch((error: unknown) => {
        isFull = true;
        this.#parts.log.warn({ vm: record.name, err: error }, 'a paused guest could not go on');
      });
    };
    const onFull = () => {
      isFull = true;
      if (timer !== undefined) return;
      timer = setInterval(goOn, LIMITS.diskFullRetryMs).unref();
      this.#parts.see(record.id, true);
      this.#tell(record, 'MEDIA_DISK_FULL', 'The disk of the host is full: the guest is paused');
    };
    control.onDiskFull(onFull);
    void control.ended.then(() => clearInterval(timer));
    if (wasAdopted) void this.#lookAt(record, control, onFull);
  }

  async #lookAt(record: VmRecord, control: ControlConnection, onFull: () => void): Promise<void> {
    try {
      if ((await control.status()) === 'io-error') onFull();
      else this.#parts.see(record.id, false);
    } catch (error) {
      this.#parts.log.warn(
        { vm: record.name, err: error },
        'an adopted hypervisor does not answer',
      );
    }
  }

  #tell(record: VmRecord, type: 'MEDIA_DISK_FULL' | 'MEDIA_DISK_FREED', message: string): void {
    this.#parts.log.warn({ vm: record.name }, message);
    tellMedia(this.#parts, record, type, message);
  }
}
