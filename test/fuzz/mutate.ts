// fuzz: new inputs out of known ones. The same random numbers make the same inputs.

import type { FuzzTarget } from './target.ts';

const CHANGES_MAX = 6;
const BLOCK_BYTES_MAX = 64;
const EDGE_BYTES = [0, 1, 9, 10, 13, 32, 34, 37, 44, 46, 47, 58, 92, 127, 128, 255];
const EDGE_VALUES: readonly unknown[] = [
  null,
  true,
  '',
  '\0',
  ' ',
  'é\u2028\ud800',
  '../..',
  '__proto__',
  0,
  -1,
  0.5,
  1e300,
  2 ** 53,
  65536,
  [],
  {},
  [[]],
];

/** xorshift32. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = (seed | 0) === 0 ? 1 : seed | 0;
  }

  below(bound: number): number {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state;
    return (state >>> 0) % bound;
  }

  pick<T>(list: readonly T[]): T {
    const picked = list[this.below(list.length)];
    if (picked === undefined) throw new RangeError('there is nothing to pick from');
    return picked;
  }
}

/** A changed copy. `other` is another input, parts of which may be taken over. */
export function mutate(
  random: Random,
  input: Buffer,
  other: Buffer,
  target: Pick<FuzzTarget, 'bytesMax' | 'tokens' | 'isJson'>,
): Buffer {
  const asValue =
    target.isJson === true && random.below(2) === 0 ? changedJson(random, input) : null;
  let bytes = asValue ?? input;
  const changes = asValue === null ? 1 + random.below(CHANGES_MAX) : random.below(2);
  for (let count = 0; count < changes; count += 1) {
    bytes = changedBytes(random, bytes, other, target.tokens);
  }
  return bytes.subarray(0, target.bytesMax);
}

function changedBytes(
  random: Random,
  input: Buffer,
  other: Buffer,
  tokens: readonly string[],
): Buffer {
  const at = random.below(input.length + 1);
  const length = random.below(Math.min(BLOCK_BYTES_MAX, input.length - at + 1));
  const before = input.subarray(0, at);
  const behind = input.subarray(at);
  switch (random.below(9)) {
    case 0:
      return replaced(input, at, (input[at] ?? 0) ^ (1 << random.below(8)));
    case 1:
      return replaced(input, at, random.below(256));
    case 2:
      return replaced(input, at, random.pick(EDGE_BYTES));
    case 3:
      return Buffer.concat([before, behind.subarray(length)]);
    case 4:
      return Buffer.concat([before, behind.subarray(0, length), behind]);
    case 5:
      return Buffer.concat([before, other.subarray(random.below(other.length + 1))]);
    case 6:
      return Buffer.concat([before, repeated(random, behind.subarray(0, length)), behind]);
    case 7:
      return Buffer.concat([before, Buffer.from([random.pick(EDGE_BYTES)]), behind]);
    default: {
      if (tokens.length === 0) return Buffer.concat([before, other.subarray(0, length), behind]);
      const over = random.below(2) === 0 ? length : 0;
      return Buffer.concat([
        before,
        Buffer.from(random.pick(tokens), 'latin1'),
        behind.subarray(over),
      ]);
    }
  }
}

function replaced(input: Buffer, at: number, byte: number): Buffer {
  const copy = Buffer.from(input);
  if (at < copy.length) copy[at] = byte;
  return copy;
}

/** What takes long when there is much of it shows by this. */
function repeated(random: Random, block: Buffer): Buffer {
  const times = random.below(8) === 0 ? 2000 : 1 + random.below(20);
  return Buffer.concat(Array.from({ length: times }, () => block.subarray(0, 16)));
}

/** null when it is no JSON. */
function changedJson(random: Random, input: Buffer): Buffer | null {
  let value: unknown;
  try {
    value = JSON.parse(input.toString());
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
  const text = JSON.stringify(changedValue(random, value));
  return text === undefined ? null : Buffer.from(text);
}

/** Goes down by chance, and changes what it comes to. */
function changedValue(random: Random, value: unknown): unknown {
  const isNode = typeof value === 'object' && value !== null;
  if (!isNode || random.below(6) === 0) return otherValue(random, value);
  const entries = Object.entries(value);
  if (entries.length === 0) return otherValue(random, value);
  const index = random.below(entries.length);
  const [key, member] = entries[index] ?? ['', null];
  if (random.below(8) === 0) entries.splice(index, 1);
  else entries[index] = [key, changedValue(random, member)];
  return Array.isArray(value) ? entries.map(([, item]) => item) : Object.fromEntries(entries);
}

function otherValue(random: Random, value: unknown): unknown {
  if (random.below(2) === 0) return random.pick(EDGE_VALUES);
  if (typeof value === 'number') return value + random.pick([-1, 1, 0.5, 2 ** 32, -value * 2]);
  if (typeof value === 'string')
    return `${value.slice(0, random.below(value.length + 1))}${random.pick(['', value, ' ', '%', '/..'])}`;
  return Array.isArray(value) ? [...value, ...value] : [value];
}
