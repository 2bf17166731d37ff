// home: checks all records once while the daemon works. A damaged record is logged. Requests that need it fail; the
// others are not affected.

import type { Logger } from '../lib/log/log.ts';
import { checkRecords } from '../store/integrity.ts';

export class RecordsCheck {
  readonly #log: Logger;
  readonly #ending = new AbortController();
  #isDamaged = false;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Whether a damaged record was found. */
  get isDamaged(): boolean {
    return this.#isDamaged;
  }

  /** Starts the check in the background. */
  begin(directory: string): void {
    void this.#run(directory).catch((error: unknown) => {
      this.#log.warn({ err: error }, 'the records could not be checked');
    });
  }

  /** Ends the check. */
  close(): void {
    this.#ending.abort();
  }

  async #run(directory: string): Promise<void> {
    const condition = await checkRecords(directory, this.#ending.signal);
    if (condition.kind !== 'damaged') return;
    this.#isDamaged = true;
    const what = `some of the records in ${directory} are damaged`;
    this.#log.error(
      { why: condition.why },
      `${what}: restore a backup with volantd --restore FILE`,
    );
  }
}
