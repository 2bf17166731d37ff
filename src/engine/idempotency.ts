// engine: requests that carry an Idempotency-Key. The first one is carried out, its answer is kept on
// disk, and whoever asks again with the same key gets that answer. What the request is does not matter.

import { LIMITS } from '../config.ts';
import type { Clock } from '../lib/clock.ts';
import { VolantError } from '../lib/errors.ts';
import type { IdempotencyApi, KeptAnswer } from './engine-api.ts';
import type { AnswerRecord } from './records.ts';
import type { State } from './state.ts';

/** What a kept answer takes beside its texts: a record, its place in a table, an entry of the store. */
const RECORD_BYTES = 256;

type AnswerRemoval = { readonly table: 'answers'; readonly key: string; readonly value: null };

export class Idempotency implements IdempotencyApi {
  readonly #state: State;
  readonly #clock: Clock;
  /** In the order of their creation. */
  readonly #answers = new Map<string, AnswerRecord>();
  /** What they take, in memory and about as much in the store. */
  #bytes = 0;
  /** No more in memory, but still on disk: they leave it with the next one that is kept. */
  #owed: readonly AnswerRemoval[];
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
    this.#owed = this.#dropOutdated(0);
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
    const twin = this.#underWay.get(key);
    if (twin !== undefined) return twin;
    // The first request of this key was cut off with an earlier daemon; it may have been carried out.
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
    // In memory at once: another request with this key must find it.
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
      this.#owed = [...this.#owed, ...outdated];
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

  /** A request that failed by our fault may be tried again with its key. */
  async #forget(key: string): Promise<void> {
    this.#drop(key);
    await this.#state.commit([{ table: 'answers', key, value: null }], []);
  }

  #fresh(key: string): AnswerRecord | undefined {
    const record = this.#answers.get(key);
    if (record === undefined) return undefined;
    return this.#clock.nowMs() - record.createdAtMs < LIMITS.idempotencyKeepMs ? record : undefined;
  }

  /** What leaves the disk when so much more is kept. */
  #outdated(moreBytes: number): readonly AnswerRemoval[] {
    // A key that was used again meanwhile is in its place.
    const owed = this.#owed.filter(({ key }) => !this.#answers.has(key));
    this.#owed = [];
    return [...owed, ...this.#dropOutdated(moreBytes)];
  }

  /** Removes what is too old or too much, oldest first, and says how it is removed from the disk. */
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
