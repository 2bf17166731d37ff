// config: the limits of stored answers for requests with an Idempotency-Key, as part of LIMITS.

export const ANSWER_LIMITS = {
  /**
   * How long answers are kept, their maximum number, the maximum size of one, and the size of all of them, in memory
   * and in the store.
   */
  idempotencyKeepMs: 86_400_000,
  idempotencyKeysMax: 10_000,
  idempotencyAnswerBytesMax: 65_536,
  idempotencyBytesMax: 16 * 1024 ** 2,
  idempotencyKeyCharactersMax: 200,
} as const;
