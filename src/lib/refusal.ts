// lib: why a daemon does not start, when starting it again changes nothing.

/** The message says what is in the way and what a person can do about it. */
export class StartRefused extends Error {
  override readonly name = 'StartRefused';
}
