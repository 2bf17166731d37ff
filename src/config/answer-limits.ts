// config: the limits of answers that are kept for requests with an Idempotency-Key, as part of LIMITS.

export const ANSWER_LIMITS = {
  /** How long, their maximum number, the maximum size of each, and all of them together, in memory and in the store. */
  idempotencyKeepMs: 86_400_000,
  idempotencyKeysMax: 10_000,
  idempotencyAnswerBytesMax: 65_536,
  idempotencyBytesMax: 16 * 1024 ** 2,
  idempotencyKeyCharactersMax: 200,
} as const;
