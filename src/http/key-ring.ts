// http: the API keys that are good now: the one of the settings and those of the file, which is read
// again when it has changed. A file that is broken leaves the last good keys as they are.

import { timingSafeEqual } from 'node:crypto';
import { LIMITS } from '../config.ts';
import { toTimestamp } from '../lib/clock.ts';
import {
  digestOfKey,
  KEY_FILE_BYTES_MAX,
  type KeyUses,
  parseKeys,
  parseUses,
  renderUses,
  type StoredKey,
  usesFileOf,
} from '../lib/key-file.ts';
import type { Logger } from '../lib/log.ts';
import { fileProblem, readPrivateFile, replacePrivateFile } from '../lib/private-file.ts';
import { marksOf, watchFiles } from '../lib/watch-files.ts';
import type { Caller } from './callers.ts';

export interface KeyRingSettings {
  /** VOLANT_API_KEY. */
  readonly apiKey: string | null;
  readonly keysFile: string;
}

interface Key {
  readonly stored: StoredKey | null;
  /** SHA-256 in hexadecimal digits, as bytes. */
  readonly digest: Buffer;
  readonly caller: Caller;
  readonly expiresAtMs: number;
  /** null: not since this daemon was started. */
  usedAtMs: number | null;
}

/** What is said of the file where the daemon tells about itself. */
export interface KeyFacts {
  readonly file: string;
  readonly count: number;
  readonly problem?: string;
}

/** The keys of the file, or null where there is none. Rejects with a sentence when it cannot be used. */
export async function readKeys(path: string): Promise<readonly StoredKey[] | null> {
  try {
    const { text } = await readPrivateFile(path, KEY_FILE_BYTES_MAX, 'owner');
    return parseKeys(text);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new Error(fileProblem(path, error), { cause: error });
  }
}

export class KeyRing {
  readonly #path: string;
  readonly #log: Logger;
  /** Of the settings. */
  readonly #own: Key | null;
  /** By their digests. */
  #keys: ReadonlyMap<string, Key>;
  /** null until there was a file: from then on a key is required, whatever becomes of it. */
  #stored: readonly StoredKey[] | null = null;
  #problem: string | null = null;
  #uses: KeyUses = {};
  #usesAreSaved = true;
  readonly #stop: (() => void)[] = [];
  readonly #listeners: ((caller: Caller) => void)[] = [];

  private constructor({ apiKey, keysFile }: KeyRingSettings, log: Logger) {
    this.#path = keysFile;
    this.#log = log;
    this.#own = apiKey === null ? null : ownKey(apiKey);
    this.#keys = this.#mapOf([]);
  }

  /** Rejects with a sentence for a person when the file cannot be used. */
  static async open(settings: KeyRingSettings, log: Logger): Promise<KeyRing> {
    const ring = new KeyRing(settings, log);
    await ring.#begin();
    return ring;
  }

  async #begin(): Promise<void> {
    const marks = await marksOf([this.#path]);
    const stored = await readKeys(this.#path);
    if (stored !== null) this.#take(stored);
    this.#uses = await readUses(this.#path);
    const timers = [
      setInterval(() => this.#endExpired(), LIMITS.filesWatchMs).unref(),
      setInterval(() => void this.#saveUses(), LIMITS.keyUsesSaveMs).unref(),
    ];
    this.#stop.push(
      watchFiles([this.#path], LIMITS.filesWatchMs, marks, () => this.#reload()),
      ...timers.map((timer) => () => clearInterval(timer)),
    );
  }

  /** true when requests need a key. */
  get required(): boolean {
    return this.#own !== null || this.#stored !== null;
  }

  /** null where there is no file. */
  get facts(): KeyFacts | null {
    if (this.#stored === null && this.#problem === null) return null;
    const problem = this.#problem === null ? {} : { problem: this.#problem };
    return { file: this.#path, count: this.#stored?.length ?? 0, ...problem };
  }

  /** Who has this key: undefined for nobody, null when it has expired. */
  find(given: string): Caller | null | undefined {
    const hex = digestOfKey(given);
    const key = this.#keys.get(hex);
    // The look-up is by a digest, which nobody can choose; the comparison takes the same time always.
    if (key === undefined || !timingSafeEqual(Buffer.from(hex, 'latin1'), key.digest)) {
      return undefined;
    }
    const nowMs = Date.now();
    if (key.expiresAtMs <= nowMs) return null;
    key.usedAtMs = nowMs;
    this.#usesAreSaved = false;
    return key.caller;
  }

  /** Called with each caller whose key was removed, was changed or has expired. */
  onGone(listener: (caller: Caller) => void): void {
    this.#listeners.push(listener);
  }

  /** Looks no more, and writes down when keys were used last. */
  async close(): Promise<void> {
    for (const stop of this.#stop.splice(0)) stop();
    await this.#saveUses();
  }

  #mapOf(keys: readonly Key[]): ReadonlyMap<string, Key> {
    const all = this.#own === null ? keys : [...keys, this.#own];
    return new Map(all.map((key) => [key.digest.toString('latin1'), key]));
  }

  /** Keys that are as before stay the same callers. */
  #take(stored: readonly StoredKey[]): void {
    const before = this.#keys;
    const keys = stored.map((one) => {
      const known = before.get(one.sha256);
      return known !== undefined && JSON.stringify(known.stored) === JSON.stringify(one)
        ? known
        : keyOf(one);
    });
    this.#stored = stored;
    this.#keys = this.#mapOf(keys);
    const after = new Set([...this.#keys.values()].map(({ caller }) => caller));
    for (const { caller } of before.values()) if (!after.has(caller)) this.#tellGone(caller);
  }

  #tellGone(caller: Caller): void {
    for (const listener of this.#listeners) listener(caller);
  }

  /** Requests with an expired key are refused by themselves; this ends what it has open. */
  #endExpired(): void {
    const nowMs = Date.now();
    for (const { caller, expiresAtMs } of this.#keys.values()) {
      if (expiresAtMs <= nowMs) this.#tellGone(caller);
    }
  }

  async #reload(): Promise<void> {
    const wasRequired = this.required;
    try {
      const stored = await readKeys(this.#path);
      // What nobody was let in by is not missed.
      if (stored === null && this.#stored === null) return;
      if (stored === null) throw new Error(`${this.#path} is not there`);
      this.#take(stored);
      this.#problem = null;
      this.#log.info({ file: this.#path, keys: stored.length }, 'API keys were read again');
      if (!wasRequired) this.#log.warn({ file: this.#path }, 'from now on the API needs a key');
    } catch (error) {
      this.#problem = error instanceof Error ? error.message : String(error);
      this.#log.error(
        { file: this.#path, problem: this.#problem },
        'API keys cannot be read again; the last good ones stay',
      );
    }
  }

  async #saveUses(): Promise<void> {
    if (this.#usesAreSaved || this.#stored === null) return;
    this.#usesAreSaved = true;
    const ids = new Map<string, string>();
    for (const { stored, usedAtMs } of this.#keys.values()) {
      if (stored === null) continue;
      const used = usedAtMs === null ? this.#uses[stored.id] : toTimestamp(usedAtMs);
      if (used !== undefined) ids.set(stored.id, used);
    }
    const path = usesFileOf(this.#path);
    try {
      this.#uses = Object.fromEntries(ids);
      await replacePrivateFile(path, renderUses(this.#uses));
    } catch (error) {
      this.#log.warn({ err: error }, 'when API keys were used last cannot be written down');
    }
  }
}

/** The key of the settings may do everything. */
function ownKey(apiKey: string): Key {
  const caller: Caller = { name: 'VOLANT_API_KEY', scope: 'admin', prefix: '' };
  const digest = Buffer.from(digestOfKey(apiKey), 'latin1');
  return { stored: null, digest, caller, expiresAtMs: Number.POSITIVE_INFINITY, usedAtMs: null };
}

function keyOf(stored: StoredKey): Key {
  const { name, scope, prefix, sha256, expiresAt } = stored;
  return {
    stored,
    digest: Buffer.from(sha256, 'latin1'),
    caller: { name, scope, prefix },
    expiresAtMs: expiresAt === null ? Number.POSITIVE_INFINITY : Date.parse(expiresAt),
    usedAtMs: null,
  };
}

async function readUses(keysFile: string): Promise<KeyUses> {
  try {
    const { text } = await readPrivateFile(usesFileOf(keysFile), KEY_FILE_BYTES_MAX, 'owner');
    return parseUses(text);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw new Error(fileProblem(usesFileOf(keysFile), error), { cause: error });
  }
}
