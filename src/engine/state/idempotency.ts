// engine, state: requests with an Idempotency-Key. The first one is carried out and its response is stored. Later
// requests with the same key get that response. What the requests do is not known here.

import { LIMITS } from '../../config/limits.ts';
import type { Clock } from '../../lib/clock.ts';
import { VolantError } from '../../lib/errors.ts';
import type { IdempotencyApi, KeptAnswer } from '../engine-api.ts';
import type { AnswerRecord } from '../records.ts';
import type { State } from './state.ts';

/** The size of a stored response beside its strings: record, map entry and store entry. */
const RECORD_BYTES = 256;

type AnswerRemoval = { readonly table: 'answers'; readonly key: string; readonly value: null };

export class Idempotency implements IdempotencyApi {
  readonly #state: State;
  readonly #clock: Clock;
  /** In the order of creation. */
  readonly #answers = new Map<string, AnswerRecord>();
  /** Their size in memory, which is about that in the store. */
  #bytes = 0;
  /** Removed from memory but still on disk; the next write removes them there. */
  #pendingRemovals: readonly AnswerRemoval[];
  readonly #underWay = new Map<string, Promise<KeptAnswer>>();

  constructor(
    state: State,
    clock: Clock,
    records: readonly (readonly [key: string, answer: AnswerRecord])[],
  ) {
    this.#state = state;
    this.#clock = clock;
    const byAge = [...records].sort((a, b) => a[1].createdAtMs - b[1].createdAtMs);
    for (const [key, record] of byAge) this.#remember(key, record);
    this.#pendingRemovals = this.#dropOutdated(0);
  }

  /** Answers that are kept, and their size. */
  get kept(): { readonly keys: number; readonly bytes: number } {
    return { keys: this.#answers.size, bytes: this.#bytes };
  }

  async run(
    key: string,
    fingerprint: string,
    carryOut: (again: boolean) => Promise<KeptAnswer>,
  ): Promise<KeptAnswer> {
    const known = this.#fresh(key);
    if (known !== undefined && known.fingerprint !== fingerprint) {
      throw new VolantError('IDEMPOTENCY_MISMATCH');
    }
    if (known?.answer) return known.answer;
    const pending = this.#underWay.get(key);
    if (pending !== undefined) return pending;
    // An earlier daemon ended during the first request with this key, so it may have been carried out.
    const again = known !== undefined;
    const running = this.#first(key, fingerprint, () => carryOut(again));
    this.#underWay.set(key, running);
    try {
      return await running;
    } finally {
      this.#underWay.delete(key);
    }
  }

  async #first(
    key: string,
    fingerprint: string,
    carryOut: () => Promise<KeptAnswer>,
  ): Promise<KeptAnswer> {
    const begun: AnswerRecord = { fingerprint, answer: null, createdAtMs: this.#clock.nowMs() };
    // Known at once, so that another request with this key finds it.
    this.#remember(key, begun);
    try {
      await this.#keep(key, begun);
      const answer = await carryOut();
      const keeps =
        answer.status < 500 && Buffer.byteLength(answer.body) <= LIMITS.idempotencyAnswerBytesMax;
      if (keeps) await this.#keep(key, { ...begun, answer });
      else await this.#forget(key);
      return answer;
    } catch (error) {
      await this.#forget(key);
      throw error;
    }
  }

  async #keep(key: string, record: AnswerRecord): Promise<void> {
    const outdated = this.#outdated(bytesOf(key, record) - bytesOf(key, this.#answers.get(key)));
    try {
      await this.#state.commit([...outdated, { table: 'answers', key, value: record }], []);
    } catch (error) {
      this.#pendingRemovals = [...this.#pendingRemovals, ...outdated];
      throw error;
    }
    this.#remember(key, record);
  }

  #remember(key: string, record: AnswerRecord): void {
    this.#bytes += bytesOf(key, record) - bytesOf(key, this.#answers.get(key));
    this.#answers.set(key, record);
  }

  #drop(key: string): void {
    this.#bytes -= bytesOf(key, this.#answers.get(key));
    this.#answers.delete(key);
  }

  /** Forgets a request that failed on our side, so that its key can be used again. */
  async #forget(key: string): Promise<void> {
    this.#drop(key);
    await this.#state.commit([{ table: 'answers', key, value: null }], []);
  }

  #fresh(key: string): AnswerRecord | undefined {
    const record = this.#answers.get(key);
    if (record === undefined) return undefined;
    return this.#clock.nowMs() - record.createdAtMs < LIMITS.idempotencyKeepMs ? record : undefined;
  }

  /** The removals from disk before this many more bytes are kept. */
  #outdated(moreBytes: number): readonly AnswerRemoval[] {
    // A key that was used again meanwhile has a new response.
    const removals = this.#pendingRemovals.filter(({ key }) => !this.#answers.has(key));
    this.#pendingRemovals = [];
    return [...removals, ...this.#dropOutdated(moreBytes)];
  }

  /** Drops responses that are too old or too many, oldest first. Returns their removals from disk. */
  #dropOutdated(moreBytes: number): readonly AnswerRemoval[] {
    const writes: AnswerRemoval[] = [];
    const oldestMs = this.#clock.nowMs() - LIMITS.idempotencyKeepMs;
    for (const [key, { createdAtMs }] of this.#answers) {
      const tooMany =
        this.#answers.size > LIMITS.idempotencyKeysMax ||
        this.#bytes + moreBytes > LIMITS.idempotencyBytesMax;
      if (createdAtMs >= oldestMs && !tooMany) break;
      if (this.#underWay.has(key)) continue;
      this.#drop(key);
      writes.push({ table: 'answers', key, value: null });
    }
    return writes;
  }
}

function bytesOf(key: string, record: AnswerRecord | undefined): number {
  if (record === undefined) return 0;
  const answer = record.answer === null ? 0 : Buffer.byteLength(record.answer.body);
  return RECORD_BYTES + Buffer.byteLength(key) + record.fingerprint.length + answer;
}
