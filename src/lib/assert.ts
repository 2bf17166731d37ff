// lib: assertions for programmer errors. What the world can do wrong (a full disk, a bad request)
// is a VolantError, never an assertion.

/** Throws when the program is wrong. Always on. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`Assertion failed: ${message}`);
}

/** Ends a switch over a union: a compile error when a member is not handled. */
export function assertNever(value: never): never {
  throw new Error(`Unhandled case: ${JSON.stringify(value)}`);
}
