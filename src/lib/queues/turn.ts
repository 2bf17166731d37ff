// lib, queues: what an operation may do while it is served by a queue. Which operation is served next does not belong
// here.

export interface Turn {
  /** The client of the operation. */
  readonly client: string;
  /**
   * Waits for something that may take hours and needs nothing of this daemon. Meanwhile another operation is served.
   * The signal is aborted when the operation is given up.
   */
  wait<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T>;
  /**
   * Aborted when the operation is given up, for a wait that keeps its place. It must be read again after each
   * `renew`.
   */
  readonly signal: AbortSignal;
  /** Starts another operation in the same place. An earlier abort does not concern it. */
  renew(): void;
}
