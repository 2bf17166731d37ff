// host, media: long work that several callers wait for: they share it and its progress, and it is cancelled when none is
// left. And the files in use by launches, which the cache must keep.

import { MessageChannel, type MessagePort } from 'node:worker_threads';
import type { MediaFacts, MediaProgress } from '../../engine/ports/media-ports.ts';
import { VolantError } from '../../lib/errors.ts';

/** A caller that waits. */
interface Waiter {
  readonly onProgress: (progress: MediaProgress) => void;
}

/** One piece of work under way. */
interface Piece<T> {
  readonly result: Promise<T>;
  readonly waiters: Set<Waiter>;
  /** What was reported last; null: nothing yet. */
  progress: MediaProgress | null;
  cancel(): void;
}

/** Runs a job with a port for its progress; a message through the port cancels the job. */
type RunJob<T> = (port: MessagePort) => Promise<T>;

/** Makes the attempts of one piece of work. `attempt` runs a job once, and rejects when nobody waits any more. */
type Perform<T> = (attempt: (job: RunJob<T>) => Promise<T>) => Promise<T>;

export class SharedWork<T> {
  readonly #pieces = new Map<string, Piece<T>>();
  /** Cancelled work that has not ended yet. The next work of the same key waits for its end. */
  readonly #ending = new Map<string, Promise<unknown>>();

  /** Work under way, with what it reported last. */
  progress(): ReadonlyMap<string, MediaProgress | null> {
    return new Map([...this.#pieces].map(([key, { progress }]) => [key, progress]));
  }

  /** Joins the work of this key, or begins it. Rejects with its error or with the signal's reason. */
  async join(
    key: string,
    perform: Perform<T>,
    onProgress: Waiter['onProgress'],
    signal: AbortSignal | undefined,
  ): Promise<T> {
    signal?.throwIfAborted();
    const piece = this.#pieces.get(key) ?? this.#begin(key, perform);
    const waiter: Waiter = { onProgress };
    piece.waiters.add(waiter);
    try {
      return await (signal === undefined ? piece.result : unlessAborted(piece.result, signal));
    } finally {
      piece.waiters.delete(waiter);
      if (piece.waiters.size === 0) piece.cancel();
    }
  }

  #begin(key: string, perform: Perform<T>): Piece<T> {
    const end = new AbortController();
    const waiters = new Set<Waiter>();
    const report = (progress: MediaProgress) => {
      piece.progress = progress;
      for (const { onProgress } of waiters) onProgress(progress);
    };
    const before = this.#ending.get(key);
    const work = async () => {
      await before;
      return await perform((job) => attempt(job, report, end.signal));
    };
    const result = work();
    const piece: Piece<T> = {
      result,
      waiters,
      progress: null,
      cancel: () => {
        if (this.#pieces.get(key) !== piece) return;
        this.#pieces.delete(key);
        this.#ending.set(key, ended);
        end.abort();
      },
    };
    this.#pieces.set(key, piece);
    const settle = () => {
      if (this.#pieces.get(key) === piece) this.#pieces.delete(key);
      if (this.#ending.get(key) === ended) this.#ending.delete(key);
    };
    const ended: Promise<void> = result.then(settle, settle);
    return piece;
  }
}

/** Files that launches are about to use. The path of each counts, however often it is held. */
export class HeldFiles {
  readonly #held = new Map<string, number>();

  /** The file with a function that releases it. */
  hold<F extends MediaFacts>(facts: F): F & { release(): void } {
    const { realPath } = facts;
    this.#held.set(realPath, (this.#held.get(realPath) ?? 0) + 1);
    let isHeld = true;
    const release = () => {
      if (!isHeld) return;
      isHeld = false;
      const rest = (this.#held.get(realPath) ?? 0) - 1;
      if (rest > 0) this.#held.set(realPath, rest);
      else this.#held.delete(realPath);
    };
    return { ...facts, release };
  }

  /** The names of the files in their directories. */
  names(): readonly string[] {
    return [...this.#held.keys()].map((path) => path.slice(path.lastIndexOf('/') + 1));
  }
}

async function attempt<T>(
  job: RunJob<T>,
  report: (progress: MediaProgress) => void,
  end: AbortSignal,
): Promise<T> {
  if (end.aborted) throw new VolantError('MEDIA_DOWNLOAD_FAILED', 'Nobody waits for it');
  const { port1, port2 } = new MessageChannel();
  // A message waits in the port for a job that has not begun. The closing of the port could be missed.
  const sendCancel = () => port2.postMessage('end');
  end.addEventListener('abort', sendCancel, { once: true });
  port2.on('message', report);
  port2.unref();
  try {
    return await job(port1);
  } finally {
    end.removeEventListener('abort', sendCancel);
    port2.close();
  }
}

/** Rejects with the signal's reason. The work continues for other callers. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
