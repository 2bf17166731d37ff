// lib: the error of a daemon that does not start, when a restart would change nothing.

/** The message names the problem and a remedy for a person. */
export class StartRefused extends Error {
  override readonly name = 'StartRefused';
}
