// lib, formats: paths of members in the notation of programs: config.disks[0].name. Pure.

/** What is wrong, keyed by path: `config.resources.cpu_cores`, `entrypoint[2]`, or `body`. */
export type Problems = Readonly<Record<string, string>>;

/** Longer keys of a client are truncated in a path, so that an answer is not as large as its request. */
const KEY_CHARACTERS_MAX = 64;

/** The part of a path for one key: the key itself if it is a plain word, otherwise quoted in brackets. */
export function keyOf(key: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_-]*$/.test(key) && key.length <= KEY_CHARACTERS_MAX) return key;
  const short = key.length > KEY_CHARACTERS_MAX ? `${key.slice(0, KEY_CHARACTERS_MAX)}...` : key;
  return `[${JSON.stringify(short)}]`;
}

/** Appends a part to a path: the result of keyOf(), or the index of an item. */
export function join(base: string, step: string | number): string {
  if (typeof step === 'number') return `${base}[${step}]`;
  return base === '' || step.startsWith('[') ? `${base}${step}` : `${base}.${step}`;
}

/** The path of what a JSON pointer (RFC 6901) names below `root`, whose own path is `base`. */
export function pathOfPointer(base: string, pointer: string, root: unknown): string {
  let path = base;
  let at: unknown = root;
  for (const part of pointer.split('/').slice(1)) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
    path = join(path, Array.isArray(at) ? Number(key) : keyOf(key));
    at = memberOf(at, key);
  }
  return path;
}

function memberOf(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null
    ? (value as Readonly<Record<string, unknown>>)[key]
    : undefined;
}
