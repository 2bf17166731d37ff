// lib: the file of API keys as text and as values. Keys themselves are never in it: a key is 256 random
// bits, so its plain SHA-256 tells nothing; a slow hash is for what people choose, and would cost every
// request. Reading and writing files is in private-file.ts.

import crypto from 'node:crypto';
import { SCOPES, type Scope } from './scopes.ts';

/** One key as the file has it. Several may have one name: the old and the new one of a rotation. */
export interface StoredKey {
  /** Eight hexadecimal digits, to tell keys of one name apart. */
  readonly id: string;
  readonly name: string;
  readonly scope: Scope;
  /** Names of VMs and deployments must begin with it; empty allows every name. */
  readonly prefix: string;
  /** SHA-256 of the key, 64 lower-case hexadecimal digits. */
  readonly sha256: string;
  readonly createdAt: string;
  /** RFC 3339; null never expires. */
  readonly expiresAt: string | null;
}

/** Most keys of one file. */
export const KEYS_MAX = 1_000;

/** A file with so many keys of the longest names is smaller. */
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

/** The beginning of a name of a VM or deployment. */
export function isNamePrefix(text: string): boolean {
  return PREFIX.test(text);
}

/** The SHA-256 of a key in hexadecimal digits. */
export function digestOfKey(key: string): string {
  // In one call where Node has it: a third of the time.
  return typeof crypto.hash === 'function'
    ? crypto.hash('sha256', key, 'hex')
    : crypto.createHash('sha256').update(key).digest('hex');
}

/** A new key and what is kept of it. The key is given out once and cannot be had back. */
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

/** Throws an Error with a sentence that says what is wrong, without quoting the file. */
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

/** The file beside it in which the daemon writes when each key was used last. */
export function usesFileOf(path: string): string {
  return `${path}.used`;
}

/** Id of a key -> RFC 3339. */
export type KeyUses = Readonly<Record<string, string>>;

export function renderUses(uses: KeyUses): string {
  return `${JSON.stringify(uses, null, 2)}\n`;
}

/** What is no such file is none: nothing but a column of a table depends on it. */
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
  if (!isObject(value)) throw fail(' is no object');
  const text = (member: string, rule: (text: string) => boolean, what: string): string => {
    const given = value[member];
    if (typeof given === 'string' && rule(given)) return given;
    throw fail(`.${member} ${what}`);
  };
  const has = (member: string) => value[member] !== undefined && value[member] !== null;
  const isTime = (time: string) => !Number.isNaN(Date.parse(time));
  const known = ['id', 'name', 'scope', 'prefix', 'sha256', 'created_at', 'expires_at'];
  // A member that is not known may be a limit of the key that is misspelt.
  const unknown = Object.keys(value).find((member) => !known.includes(member));
  if (unknown !== undefined) throw fail(' has a member that is not known');
  return {
    id: text('id', (id) => /^[0-9a-f]{8}$/.test(id), 'must be eight hexadecimal digits'),
    name: text('name', isKeyName, `is no name: it ${KEY_NAME_RULE}`),
    scope: text('scope', isScope, `must be one of ${SCOPES.join(', ')}`) as Scope,
    prefix: has('prefix') ? text('prefix', isNamePrefix, 'is no beginning of a name') : '',
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
