// lib, files: the format of the file of API keys. The file has only digests of keys. A key is 256 random bits, so a
// plain SHA-256 reveals nothing; a slow hash is for passwords, and would slow down every request. Reading and writing
// the file is in private-file.ts.

import crypto from 'node:crypto';
import { SCOPES, type Scope } from '../scopes.ts';

/** One key in the file. Several keys may have the same name: the old and the new one of a rotation. */
export interface StoredKey {
  /** Eight hexadecimal digits, to distinguish keys of the same name. */
  readonly id: string;
  readonly name: string;
  readonly scope: Scope;
  /** The key allows only names of VMs and deployments that begin with this; empty: every name. */
  readonly prefix: string;
  /** SHA-256 of the key, 64 lower-case hexadecimal digits. */
  readonly sha256: string;
  readonly createdAt: string;
  /** RFC 3339; null: never. */
  readonly expiresAt: string | null;
}

/** Maximum number of keys in one file. */
export const KEYS_MAX = 1_000;

/** A file with KEYS_MAX keys of maximum length is smaller than this. */
export const KEY_FILE_BYTES_MAX = 1024 * 1024;

const VERSION = 1;

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const PREFIX = /^[A-Za-z0-9._-]{0,63}$/;

/** The rule of `isKeyName`, for messages. */
export const KEY_NAME_RULE =
  'has 1 to 63 letters, digits, ".", "_" and "-", and begins with a letter or digit';

export function isKeyName(text: string): boolean {
  return NAME.test(text);
}

/** Whether a text can be the beginning of a VM's or deployment's name. */
export function isNamePrefix(text: string): boolean {
  return PREFIX.test(text);
}

/** Returns the SHA-256 of a key in hexadecimal digits. */
export function digestOfKey(key: string): string {
  // crypto.hash takes a third of the time, where Node has it.
  return typeof crypto.hash === 'function'
    ? crypto.hash('sha256', key, 'hex')
    : crypto.createHash('sha256').update(key).digest('hex');
}

/** Makes a key, and the entry that is stored. The key is shown once and cannot be recovered. */
export function makeKey(of: Pick<StoredKey, 'name' | 'scope' | 'prefix' | 'expiresAt'>): {
  readonly key: string;
  readonly stored: StoredKey;
} {
  const key = `volant_${crypto.randomBytes(32).toString('base64url')}`;
  const id = crypto.randomBytes(4).toString('hex');
  const { name, scope, prefix, expiresAt } = of;
  const createdAt = new Date().toISOString();
  const sha256 = digestOfKey(key);
  return { key, stored: { id, name, scope, prefix, sha256, createdAt, expiresAt } };
}

export function renderKeys(keys: readonly StoredKey[]): string {
  const members = keys.map(({ id, name, scope, prefix, sha256, createdAt, expiresAt }) => ({
    id,
    name,
    scope,
    ...(prefix === '' ? {} : { prefix }),
    sha256,
    created_at: createdAt,
    ...(expiresAt === null ? {} : { expires_at: expiresAt }),
  }));
  return `${JSON.stringify({ version: VERSION, keys: members }, null, 2)}\n`;
}

/** Parses the file. Throws an Error with a sentence that says what is wrong, without quoting the file. */
export function parseKeys(text: string): readonly StoredKey[] {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    // The parser's own message quotes the text.
    throw new Error('it is not JSON');
  }
  if (!isObject(content) || content['version'] !== VERSION || !Array.isArray(content['keys'])) {
    throw new Error(`it is not an object with "version": ${VERSION} and a list of "keys"`);
  }
  const { keys } = content;
  if (keys.length > KEYS_MAX) throw new Error(`it has more than ${KEYS_MAX} keys`);
  const parsed = keys.map((value: unknown, index) => parseKey(value, index));
  for (const member of ['id', 'sha256'] as const) {
    const values = new Set(parsed.map((key) => key[member]));
    if (values.size !== parsed.length) throw new Error(`two keys have the same ${member}`);
  }
  return parsed;
}

/** Returns the path of the file with the last use of each key, which the daemon writes. */
export function usesFileOf(path: string): string {
  return `${path}.used`;
}

/** Id of a key -> time of its last use, RFC 3339. */
export type KeyUses = Readonly<Record<string, string>>;

export function renderUses(uses: KeyUses): string {
  return `${JSON.stringify(uses, null, 2)}\n`;
}

/** Parses the last uses. Invalid content counts as empty: only a column of a table depends on it. */
export function parseUses(text: string): KeyUses {
  try {
    const content: unknown = JSON.parse(text);
    const entries = Object.entries(isObject(content) ? content : {});
    return Object.fromEntries(
      entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
    );
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}

function parseKey(value: unknown, index: number): StoredKey {
  const fail = (why: string) => new Error(`keys[${index}]${why}`);
  if (!isObject(value)) throw fail(' is not an object');
  const text = (member: string, rule: (text: string) => boolean, what: string): string => {
    const given = value[member];
    if (typeof given === 'string' && rule(given)) return given;
    throw fail(`.${member} ${what}`);
  };
  const has = (member: string) => value[member] !== undefined && value[member] !== null;
  const isTime = (time: string) => !Number.isNaN(Date.parse(time));
  const known = ['id', 'name', 'scope', 'prefix', 'sha256', 'created_at', 'expires_at'];
  // An unknown member may be a misspelt restriction of the key.
  const unknown = Object.keys(value).find((member) => !known.includes(member));
  if (unknown !== undefined) throw fail(' has a member that is not known');
  return {
    id: text('id', (id) => /^[0-9a-f]{8}$/.test(id), 'must be eight hexadecimal digits'),
    name: text('name', isKeyName, `is not a valid name: it ${KEY_NAME_RULE}`),
    scope: text('scope', isScope, `must be one of ${SCOPES.join(', ')}`) as Scope,
    prefix: has('prefix') ? text('prefix', isNamePrefix, 'is not the beginning of a name') : '',
    sha256: text('sha256', (hex) => /^[0-9a-f]{64}$/.test(hex), 'must be 64 hexadecimal digits'),
    createdAt: text('created_at', isTime, 'must be a time (RFC 3339)'),
    expiresAt: has('expires_at')
      ? text('expires_at', isTime, 'must be a time (RFC 3339), or absent')
      : null,
  };
}

function isScope(text: string): boolean {
  return SCOPES.some((scope) => scope === text);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
