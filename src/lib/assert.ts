// lib: assertions for programming errors. Conditions of the environment, such as a full disk or a bad request, are
// VolantErrors, never assertions.

/** Throws when the condition is false. Never compiled out. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`Assertion failed: ${message}`);
}

/** Ends a switch over a union: it does not compile when a member is not handled. */
export function assertNever(value: never): never {
  throw new Error(`Unhandled case: ${JSON.stringify(value)}`);
}
