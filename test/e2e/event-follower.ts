// test helpers: follows all events of a daemon for the whole run: each number must come, once.

import assert from 'node:assert/strict';
import { until } from '../helpers/until.ts';
import type { Daemon } from './daemon.ts';

export class EventFollower {
  readonly #abort = new AbortController();
  readonly #counts = new Map<string, number>();
  #following: Promise<void> = Promise.resolve();
  /** Number of the newest event. */
  last = 0;
  /** The first thing that was not as it must be. */
  gap: string | null = null;

  /** From the first event on. */
  static async of({ url }: Daemon, headers: Record<string, string> = {}): Promise<EventFollower> {
    const follower = new EventFollower();
    const { signal } = follower.#abort;
    const response = await fetch(`${url}/api/v1/events?after=0`, { signal, headers });
    assert.ok(response.body);
    follower.#following = follower.#follow(response.body.pipeThrough(new TextDecoderStream()));
    return follower;
  }

  /** How many events of this type came. */
  countOf(type: string): number {
    return this.#counts.get(type) ?? 0;
  }

  /** Resolves when this event was read. */
  async until(id: number): Promise<void> {
    await until(`event ${id} was read`, () => {
      assert.equal(this.gap, null);
      return this.last >= id;
    });
  }

  async end(): Promise<void> {
    this.#abort.abort();
    await this.#following;
  }

  async #follow(texts: ReadableStream<string>): Promise<void> {
    let rest = '';
    try {
      for await (const text of texts) {
        const lines = (rest + text).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) this.#take(line);
      }
      this.gap ??= `the stream ended after ${this.last}`;
    } catch (error) {
      if (!this.#abort.signal.aborted) this.gap ??= String(error);
    }
  }

  #take(line: string): void {
    const [, type] = /^event: (\w+)$/.exec(line) ?? [];
    if (type !== undefined) this.#counts.set(type, this.countOf(type) + 1);
    if (!line.startsWith('id: ')) return;
    const id = Number(line.slice(4));
    if (id !== this.last + 1) this.gap ??= `${id} came after ${this.last}`;
    this.last = id;
  }
}
