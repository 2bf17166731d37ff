// engine, metadata: one guest with a metadata service: it gets what it may know of its VM, and its results are taken. What
// it gets, and how results are kept, is up to the caller.

import type { Logger } from '../../lib/log/log.ts';
import type { AgentConnection, PostedResult, ResultStatus } from '../ports/hypervisor-ports.ts';
import { ResultPace } from './result-rules.ts';

/** What failed is tried again after this, if the guest does not connect before. */
const RETRY_MS = 5_000;

export type MetadataAgent = Pick<
  AgentConnection,
  'sendMetadata' | 'postedResult' | 'settleResult' | 'onResult'
>;

export interface ServedGuestParts {
  readonly agent: MetadataAgent;
  /** Aborts when the guest has ended. */
  readonly ended: AbortSignal;
  /** The document of now; null if the VM is gone. */
  readonly document: () => string | null;
  /** Keeps a result, and resolves when that is done or was refused. Never rejects. */
  readonly keep: (posted: PostedResult) => Promise<ResultStatus>;
  readonly log: Logger;
}

export class ServedGuest {
  readonly #parts: ServedGuestParts;
  readonly #pace = new ResultPace();
  /** The last document that was sent; null before the first one. */
  #sent: string | null = null;
  /** The last result that was kept or refused: its client is answered again if that was lost. */
  #settled: { readonly number: number; readonly status: ResultStatus } | null = null;
  #isBusy = false;
  #isDue = false;
  #isClosed = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: ServedGuestParts) {
    this.#parts = parts;
  }

  /** Resolves when the guest knows its first document. Rejects if its agent cannot take it. */
  async begin(): Promise<void> {
    const { agent, ended } = this.#parts;
    agent.onResult(() => this.look());
    ended.addEventListener('abort', () => this.close(), { once: true });
    this.#isBusy = true;
    try {
      await this.#send();
    } finally {
      this.#isBusy = false;
    }
    // An earlier daemon may have left a result.
    this.look();
  }

  /** Sends what has changed and takes a result, now or after what is under way. */
  look(): void {
    if (this.#isClosed) return;
    this.#isDue = true;
    if (!this.#isBusy) void this.#work();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  async #work(): Promise<void> {
    clearTimeout(this.#timer);
    this.#isBusy = true;
    try {
      while (this.#isDue && !this.#isClosed) {
        this.#isDue = false;
        await this.#send();
        await this.#take();
      }
    } catch (error) {
      const facts = { err: error };
      this.#parts.log.debug(facts, 'the metadata service of a guest is looked at again later');
      this.#later(RETRY_MS);
    } finally {
      this.#isBusy = false;
    }
  }

  async #send(): Promise<void> {
    const document = this.#parts.document();
    if (document === null || document === this.#sent) return;
    await this.#parts.agent.sendMetadata(document, this.#parts.ended);
    this.#sent = document;
  }

  async #take(): Promise<void> {
    const { agent, ended, keep } = this.#parts;
    const waitMs = this.#pace.waitMs(performance.now());
    if (waitMs > 0) return this.#later(waitMs);
    const posted = await agent.postedResult(ended);
    if (posted === null) return;
    const { number } = posted;
    if (this.#settled?.number !== number) {
      this.#pace.count(performance.now());
      this.#settled = { number, status: await keep(posted) };
    }
    await agent.settleResult(number, this.#settled.status, ended);
  }

  #later(delayMs: number): void {
    clearTimeout(this.#timer);
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => this.look(), delayMs).unref();
  }
}
