// ui, pages: what a form has so far, as JSON, and the paths of its members as the daemon writes them in errors. Pure.

export type Draft = Readonly<Record<string, unknown>>;

/** The members of an object, if it is one. */
export function membersOf(value: unknown): Draft {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isObject ? (value as Draft) : {};
}

export const itemsOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

/** The object with another member; undefined takes the member away, and the last one the object. */
export function withMember(value: unknown, key: string, member: unknown): Draft | undefined {
  const { [key]: _, ...others } = membersOf(value);
  const next = member === undefined ? others : { ...others, [key]: member };
  return Object.keys(next).length === 0 ? undefined : next;
}

/** As the daemon writes it: `config.disks[0].source`. */
export const memberPath = (path: string, key: string): string =>
  path === '' ? key : `${path}.${key}`;

export const itemPath = (path: string, index: number): string => `${path}[${index}]`;

/** What is wrong with a member, by its path. */
export type Problems = Readonly<Record<string, string>>;

/** Problems of a member and of what is in it. */
export function problemsBelow(problems: Problems, path: string): readonly string[] {
  return Object.entries(problems)
    .filter(([at]) => at === path || at.startsWith(`${path}.`) || at.startsWith(`${path}[`))
    .map(([at, problem]) => (at === path ? problem : `${at.slice(path.length)} ${problem}`));
}

/** `NAME=value`, one in each line. A line without the sign is a name with an empty value. */
export function mapText(value: unknown): string {
  return Object.entries(membersOf(value))
    .map(([key, text]) => `${key}=${text}`)
    .join('\n');
}

export function mapIn(text: string): Draft | undefined {
  const entries = linesIn(text)?.map((line) => {
    const [, key = '', value = ''] = /^([^=]*)=?(.*)$/.exec(line) ?? [];
    return [key.trim(), value] as const;
  });
  return entries === undefined ? undefined : Object.fromEntries(entries);
}

export function linesIn(text: string): readonly string[] | undefined {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  return lines.length === 0 ? undefined : lines;
}

export type Parsed = { readonly value: unknown } | { readonly problem: string };

/** Nothing is no value. */
export function parsed(text: string): Parsed {
  if (text.trim() === '') return { value: undefined };
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    if (error instanceof SyntaxError) return { problem: `is not JSON: ${error.message}` };
    throw error;
  }
}
