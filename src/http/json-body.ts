// http: JSON as it is taken from clients: I-JSON (RFC 7493), which means the same to every program, and no deeper than what
// comes after it can carry. What is stored is then what was sent: no replacement characters, no rounded numbers, no
// member that another of its name has put aside. Pure.

import { LIMITS } from '../config.ts';
import { join, keyOf } from '../schema/validate.ts';

/** What is wrong with a text, and where: `config.metadata.a[0]`, or `body`. */
export class JsonProblem extends Error {
  override readonly name = 'JsonProblem';
  readonly path: string;
  /** false: it is JSON, but not such as is taken. */
  readonly isNoJson: boolean;

  constructor(path: string, rule: string, options?: ErrorOptions) {
    super(rule, options);
    this.path = path === '' ? 'body' : path;
    this.isNoJson = options !== undefined;
  }
}

/** A byte order mark is skipped: some programs for Windows cannot help writing one (RFC 8259, 8.1). */
const UTF8 = new TextDecoder('utf-8', { fatal: true });

/** The value. Throws a JsonProblem. */
export function readJson(bytes: Uint8Array): unknown {
  const text = decode(bytes);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new JsonProblem('', error instanceof Error ? error.message : '', { cause: error });
  }
  new Scan(text).run();
  return value;
}

function decode(bytes: Uint8Array): string {
  try {
    return UTF8.decode(bytes);
  } catch (error) {
    throw new JsonProblem('', 'must be UTF-8', { cause: error });
  }
}

/** An object or an array that is open. */
interface Open {
  /** The names so far; null for an array. */
  readonly names: Set<string> | null;
  /** Of the member that is being read; null before its name was. */
  name: string | null;
  /** Of the item that is being read. */
  index: number;
}

/** A surrogate's escape in one of its spellings. */
const SURROGATE_ESCAPE = /\\u[dD][89a-fA-F]/;
const LONE_SURROGATE = /\p{Surrogate}/u;
/** Numbers with fewer characters and without an exponent are small. */
const LONG_NUMBER_CHARACTERS = 16;

const CODES = {
  quote: 0x22,
  plus: 0x2b,
  comma: 0x2c,
  minus: 0x2d,
  dot: 0x2e,
  zero: 0x30,
  nine: 0x39,
  upperE: 0x45,
  openBracket: 0x5b,
  backslash: 0x5c,
  closeBracket: 0x5d,
  lowerE: 0x65,
  openBrace: 0x7b,
  closeBrace: 0x7d,
} as const;

/** One pass over a text that is known to be JSON. By character codes: bodies of a megabyte come by the main thread. */
class Scan {
  readonly #text: string;
  readonly #open: Open[] = [];
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  run(): void {
    while (this.#at < this.#text.length) this.#step(this.#text.charCodeAt(this.#at));
  }

  #step(code: number): void {
    if (code === CODES.quote) {
      this.#string();
    } else if (isOfNumber(code)) {
      this.#number();
    } else {
      // The letters of true, false and null go by here, too.
      if (code === CODES.openBrace) this.#begin(new Set());
      else if (code === CODES.openBracket) this.#begin(null);
      else if (code === CODES.closeBrace || code === CODES.closeBracket) this.#open.pop();
      else if (code === CODES.comma) this.#next();
      this.#at += 1;
    }
  }

  #begin(names: Set<string> | null): void {
    if (this.#open.length === LIMITS.jsonDepthMax) {
      throw this.#problem(`may be at most ${LIMITS.jsonDepthMax} levels deep`);
    }
    this.#open.push({ names, name: null, index: 0 });
  }

  #next(): void {
    const open = this.#open.at(-1);
    if (open === undefined) return;
    open.index += 1;
    open.name = null;
  }

  #string(): void {
    const begin = this.#at;
    let end = this.#text.indexOf('"', begin + 1);
    while (isEscaped(this.#text, end)) end = this.#text.indexOf('"', end + 1);
    this.#at = end + 1;
    const open = this.#open.at(-1);
    const isName = open !== undefined && open.names !== null && open.name === null;
    const raw = this.#text.slice(begin + 1, end);
    const value = raw.includes('\\') ? (JSON.parse(`"${raw}"`) as string) : raw;
    if (isName) this.#takeName(open, value);
    // Text that is not escaped came through the decoder, which takes no surrogates.
    if (raw !== value && SURROGATE_ESCAPE.test(raw) && LONE_SURROGATE.test(value)) {
      throw this.#problem('must be Unicode: half of a surrogate pair stands alone');
    }
  }

  #takeName(open: Open, name: string): void {
    open.name = name;
    if (open.names?.has(name)) throw this.#problem('is there twice');
    open.names?.add(name);
  }

  #number(): void {
    const begin = this.#at;
    let end = begin + 1;
    let hasExponent = false;
    for (; ; end += 1) {
      const code = this.#text.charCodeAt(end);
      if (code === CODES.lowerE || code === CODES.upperE) hasExponent = true;
      else if (!isOfNumber(code)) break;
    }
    this.#at = end;
    if (!hasExponent && end - begin < LONG_NUMBER_CHARACTERS) return;
    if (Math.abs(Number(this.#text.slice(begin, end))) > Number.MAX_SAFE_INTEGER) {
      const most = Number.MAX_SAFE_INTEGER;
      throw this.#problem(`must be between -${most} and ${most}: others are not exact`);
    }
  }

  #problem(rule: string): JsonProblem {
    const steps = this.#open.map(({ names, name, index }) => {
      if (names === null) return `[${index}]`;
      return name === null ? '' : keyOf(name);
    });
    const path = steps.reduce((before, step) => (step === '' ? before : join(before, step)), '');
    return new JsonProblem(path, rule);
  }
}

/** Digits, and what else a number has, but for the letter of its exponent. */
function isOfNumber(code: number): boolean {
  return (
    (code >= CODES.zero && code <= CODES.nine) ||
    code === CODES.minus ||
    code === CODES.dot ||
    code === CODES.plus
  );
}

/** Whether an odd number of backslashes stands before a quotation mark. */
function isEscaped(text: string, at: number): boolean {
  let first = at;
  while (text.charCodeAt(first - 1) === CODES.backslash) first -= 1;
  return (at - first) % 2 === 1;
}
