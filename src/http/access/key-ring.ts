// http, access: the API keys that are valid now: the one of the settings, and those of the keys file, which is read again
// when it changes. If the file is broken, the last good keys stay valid.

import { LIMITS } from '../../config/limits.ts';
import { toTimestamp } from '../../lib/clock.ts';
import {
  digestOfKey,
  KEY_FILE_BYTES_MAX,
  type KeyUses,
  parseKeys,
  parseUses,
  renderUses,
  type StoredKey,
  usesFileOf,
} from '../../lib/files/key-file.ts';
import { fileProblem, readPrivateFile, replacePrivateFile } from '../../lib/files/private-file.ts';
import { marksOf, watchFiles } from '../../lib/files/watch-files.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { Caller } from './callers.ts';

export interface KeyRingSettings {
  /** VOLANT_API_KEY. */
  readonly apiKey: string | null;
  readonly keysFile: string;
}

interface Key {
  readonly stored: StoredKey | null;
  /** SHA-256 of the key, 64 hexadecimal digits. */
  readonly digest: string;
  readonly caller: Caller;
  readonly expiresAtMs: number;
  /** Time of the last use; null: not used since this daemon started. */
  usedAtMs: number | null;
}

/** Facts about the keys file, for the description of the daemon. */
export interface KeyFacts {
  readonly file: string;
  readonly count: number;
  readonly problem?: string;
}

/** The keys of the file; null if there is no file. Rejects with a sentence for the operator if it cannot be used. */
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
  /** The key of the settings. */
  readonly #own: Key | null;
  /** Keys by their digests. */
  #keys: ReadonlyMap<string, Key>;
  /** null until a keys file was seen. After that a key is required, even if the file disappears. */
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

  /** Rejects with a sentence for the operator if the file cannot be used. */
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

  /** null if there is no keys file. */
  get facts(): KeyFacts | null {
    if (this.#stored === null && this.#problem === null) return null;
    const problem = this.#problem === null ? {} : { problem: this.#problem };
    return { file: this.#path, count: this.#stored?.length ?? 0, ...problem };
  }

  /** The caller with this key; undefined for an unknown key, null for an expired one. */
  find(given: string): Caller | null | undefined {
    const key = this.#keys.get(digestOfKey(given));
    // A client cannot choose the digest of its key, so the time of the look-up says nothing about other keys.
    if (key === undefined) return undefined;
    const nowMs = Date.now();
    if (key.expiresAtMs <= nowMs) return null;
    key.usedAtMs = nowMs;
    this.#usesAreSaved = false;
    return key.caller;
  }

  /** The listener gets each caller whose key was removed, was changed or has expired. */
  onGone(listener: (caller: Caller) => void): void {
    this.#listeners.push(listener);
  }

  /** Stops watching, and stores when each key was last used. */
  async close(): Promise<void> {
    for (const stop of this.#stop.splice(0)) stop();
    await this.#saveUses();
  }

  #mapOf(keys: readonly Key[]): ReadonlyMap<string, Key> {
    const all = this.#own === null ? keys : [...keys, this.#own];
    return new Map(all.map((key) => [key.digest, key]));
  }

  /** Unchanged keys keep their caller objects. */
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

  /** Requests with an expired key are refused by find(); this ends the streams and sockets that the key has open. */
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
      // There never was a keys file, so none is missing.
      if (stored === null && this.#stored === null) return;
      if (stored === null) throw new Error(`${this.#path} does not exist`);
      this.#take(stored);
      this.#problem = null;
      this.#log.info({ file: this.#path, keys: stored.length }, 'API keys were read again');
      if (!wasRequired) this.#log.warn({ file: this.#path }, 'from now on the API needs a key');
    } catch (error) {
      this.#problem = error instanceof Error ? error.message : String(error);
      this.#log.error(
        { file: this.#path, problem: this.#problem },
        'the keys file cannot be read; the last good keys stay valid',
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
      this.#log.warn({ err: error }, 'the times of last use of API keys cannot be stored');
    }
  }
}

/** The key of the settings has every right. */
function ownKey(apiKey: string): Key {
  const caller: Caller = { name: 'VOLANT_API_KEY', scope: 'admin', prefix: '' };
  const digest = digestOfKey(apiKey);
  return { stored: null, digest, caller, expiresAtMs: Number.POSITIVE_INFINITY, usedAtMs: null };
}

function keyOf(stored: StoredKey): Key {
  const { name, scope, prefix, sha256, expiresAt } = stored;
  return {
    stored,
    digest: sha256,
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
