// http, exchange: parses JSON from clients as I-JSON (RFC 7493), which every program reads in the same way, with a bound on
// its depth. So the stored value is the one that was sent: no replacement characters, no rounded numbers, no member hidden
// by a duplicate name. Pure.

import { LIMITS } from '../../config/limits.ts';
import { join, keyOf } from '../../lib/formats/member-path.ts';

/** What is wrong with a text, and where: `config.metadata.a[0]`, or `body`. */
export class JsonProblem extends Error {
  override readonly name = 'JsonProblem';
  readonly path: string;
  /** true: the text is not JSON at all. false: it is JSON, but not I-JSON or too deep. */
  readonly isNoJson: boolean;

  constructor(path: string, rule: string, options?: ErrorOptions) {
    super(rule, options);
    this.path = path === '' ? 'body' : path;
    this.isNoJson = options !== undefined;
  }
}

/** A byte order mark is skipped: some Windows programs always write one (RFC 8259, 8.1). */
const UTF8 = new TextDecoder('utf-8', { fatal: true });

/** The value of the text. Throws a JsonProblem. */
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

/** An object or array that is being read. */
interface Open {
  /** The member names so far; null for an array. */
  readonly names: Set<string> | null;
  /** Name of the member that is being read; null before it is known. */
  name: string | null;
  /** Index of the item that is being read. */
  index: number;
}

/** The start of a surrogate's escape sequence. */
const SURROGATE_ESCAPE = /\\u[dD][89a-fA-F]/;
const LONE_SURROGATE = /\p{Surrogate}/u;
/** A number with fewer characters and without an exponent is exact. */
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

/**
 * One pass over a text that is valid JSON. It compares character codes for speed, because bodies of a megabyte are parsed
 * on the main thread.
 */
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
      // The letters of true, false and null reach this point, too, and are skipped.
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
    // Unescaped text comes from the decoder, which accepts no surrogates.
    if (raw !== value && SURROGATE_ESCAPE.test(raw) && LONE_SURROGATE.test(value)) {
      throw this.#problem('must be Unicode: half of a surrogate pair stands alone');
    }
  }

  #takeName(open: Open, name: string): void {
    open.name = name;
    if (open.names?.has(name)) throw this.#problem('is a duplicate name');
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

/** Digits and the other characters of a number, without the letter of its exponent. */
function isOfNumber(code: number): boolean {
  return (
    (code >= CODES.zero && code <= CODES.nine) ||
    code === CODES.minus ||
    code === CODES.dot ||
    code === CODES.plus
  );
}

/** true if an odd number of backslashes stands before the quotation mark at this position. */
function isEscaped(text: string, at: number): boolean {
  let first = at;
  while (text.charCodeAt(first - 1) === CODES.backslash) first -= 1;
  return (at - first) % 2 === 1;
}
