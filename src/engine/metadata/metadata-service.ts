// engine, metadata: the metadata services of all guests: who has one, what it shows, and the results that are kept. The
// service itself is part of the agent in the guest.

import { type Clock, toTimestamp } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log/log.ts';
import { vmEvent } from '../events/events.ts';
import type { PostedResult, ResultStatus } from '../ports/hypervisor-ports.ts';
import type { ResultRecord, StoredEvent } from '../records.ts';
import type { State } from '../state/state.ts';
import { hasMetadataService, metadataDocument } from './metadata-document.ts';
import { textOfResult } from './result-rules.ts';
import { type MetadataAgent, ServedGuest } from './served-guest.ts';

/** Events after which a guest may see something else of its VM. */
const IS_SHOWN = ['CONFIG_CHANGED', 'VM_DEADLINE_CHANGED'];

export interface MetadataServiceParts {
  readonly state: State;
  readonly clock: Clock;
  readonly log: Logger;
}

export class MetadataService {
  readonly #parts: MetadataServiceParts;
  /** By VM id, until the guest has ended. */
  readonly #guests = new Map<number, ServedGuest>();

  constructor(parts: MetadataServiceParts) {
    this.#parts = parts;
    parts.state.events.subscribe((events) => this.#onEvents(events));
  }

  /**
   * Serves a guest that was launched or adopted, until the signal aborts. Resolves when it knows its metadata, when its
   * agent cannot take them, or at once if the VM was launched without the service. Never rejects.
   */
  async serve(vmId: number, agent: MetadataAgent, ended: AbortSignal): Promise<void> {
    const { state, log } = this.#parts;
    const record = state.find(vmId);
    const launched = record && state.store.config(vmId, record.launchedConfigVersion);
    if (launched === undefined || !hasMetadataService(launched.config)) return;
    const guest = new ServedGuest({
      agent,
      ended,
      document: () => this.#documentOf(vmId),
      keep: (posted) => this.#keep(vmId, posted),
      log: log.child({ id: vmId }),
    });
    this.#guests.get(vmId)?.close();
    this.#guests.set(vmId, guest);
    ended.addEventListener('abort', () => this.#forget(vmId, guest), { once: true });
    try {
      await guest.begin();
    } catch (error) {
      if (ended.aborted) return;
      log.warn({ id: vmId, err: error }, 'a guest cannot have its metadata service');
    }
  }

  close(): void {
    for (const guest of this.#guests.values()) guest.close();
    this.#guests.clear();
  }

  #forget(vmId: number, guest: ServedGuest): void {
    if (this.#guests.get(vmId) === guest) this.#guests.delete(vmId);
  }

  #onEvents(events: readonly StoredEvent[]): void {
    for (const { body } of events) {
      if (!IS_SHOWN.includes(body.type)) continue;
      const record = this.#parts.state.vms.recordByName(body.name);
      if (record !== undefined) this.#guests.get(record.id)?.look();
    }
  }

  #documentOf(vmId: number): string | null {
    const { state } = this.#parts;
    const record = state.find(vmId);
    const newest = record && state.store.config(vmId, record.configVersion);
    return record === undefined || newest === undefined
      ? null
      : metadataDocument(record, newest.config);
  }

  async #keep(vmId: number, posted: PostedResult): Promise<ResultStatus> {
    const { state, clock, log } = this.#parts;
    const text = textOfResult(posted);
    if (text === null) return 'refused';
    const postedAtMs = clock.nowMs();
    const sizeBytes = posted.bytes.length;
    const value: ResultRecord = { vmId, isJson: posted.isJson, text, sizeBytes, postedAtMs };
    try {
      await state.update(vmId, (record) => {
        const event = vmEvent(
          'VM_RESULT',
          record,
          `The guest posted a result of ${sizeBytes} bytes`,
        );
        return {
          record,
          writes: [{ table: 'results', key: vmId, value }],
          events: [{ ...event, size_bytes: sizeBytes, timestamp: toTimestamp(postedAtMs) }],
        };
      });
      return 'kept';
    } catch (error) {
      log.warn({ id: vmId, err: error }, 'a result could not be kept');
      return 'failed';
    }
  }
}
