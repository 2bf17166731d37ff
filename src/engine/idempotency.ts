// engine: requests that carry an Idempotency-Key. The first one is carried out, its answer is kept on
// disk, and whoever asks again with the same key gets that answer. What the request is does not matter.

import { LIMITS } from '../config.ts';
import type { Clock } from '../lib/clock.ts';
import { VolantError } from '../lib/errors.ts';
import type { IdempotencyApi, KeptAnswer } from './engine-api.ts';
import type { AnswerRecord } from './records.ts';
import type { State } from './state.ts';
import type { Write } from './store-ports.ts';

export class Idempotency implements IdempotencyApi {
  readonly #state: State;
  readonly #clock: Clock;
  /** In the order of their creation. */
  readonly #answers = new Map<string, AnswerRecord>();
  readonly #underWay = new Map<string, Promise<KeptAnswer>>();

  constructor(
    state: State,
    clock: Clock,
    records: readonly (readonly [key: string, answer: AnswerRecord])[],
  ) {
    this.#state = state;
    this.#clock = clock;
    const byAge = [...records].sort((a, b) => a[1].createdAtMs - b[1].createdAtMs);
    for (const [key, record] of byAge) this.#answers.set(key, record);
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
    this.#answers.set(key, begun);
    try {
      await this.#keep(key, begun, this.#outdated());
      const answer = await carryOut();
      const keeps =
        answer.status < 500 && Buffer.byteLength(answer.body) <= LIMITS.idempotencyAnswerBytesMax;
      if (keeps) await this.#keep(key, { ...begun, answer }, []);
      else await this.#forget(key);
      return answer;
    } catch (error) {
      await this.#forget(key);
      throw error;
    }
  }

  async #keep(key: string, record: AnswerRecord, more: readonly Write[]): Promise<void> {
    await this.#state.commit([{ table: 'answers', key, value: record }, ...more], []);
    this.#answers.set(key, record);
  }

  /** A request that failed by our fault may be tried again with its key. */
  async #forget(key: string): Promise<void> {
    this.#answers.delete(key);
    await this.#state.commit([{ table: 'answers', key, value: null }], []);
  }

  #fresh(key: string): AnswerRecord | undefined {
    const record = this.#answers.get(key);
    if (record === undefined) return undefined;
    return this.#clock.nowMs() - record.createdAtMs < LIMITS.idempotencyKeepMs ? record : undefined;
  }

  /** Removes what is too old or too much, oldest first, and says how it is removed from the disk. */
  #outdated(): readonly Write[] {
    const writes: Write[] = [];
    const oldestMs = this.#clock.nowMs() - LIMITS.idempotencyKeepMs;
    for (const [key, { createdAtMs }] of this.#answers) {
      const tooMany = this.#answers.size > LIMITS.idempotencyKeysMax;
      if (createdAtMs >= oldestMs && !tooMany) break;
      if (this.#underWay.has(key)) continue;
      this.#answers.delete(key);
      writes.push({ table: 'answers', key, value: null });
    }
    return writes;
  }
}
