// http, guests: parses what an agent says of a watch: JSON lines. The guest's root may have replaced the agent, so only known
// members pass.

import { FILE_CHANGES, type FileChange, WATCH_ENDS, type WatchEnd } from '../../../schema/file.ts';

/** What an agent says: a change, that changes were lost, or why there are no more. */
export type WatchWord =
  | FileChange
  | { readonly type: 'overflow' }
  | { readonly type: 'end'; readonly reason: WatchEnd };

/** Reasons that an agent can know. */
const AGENT_ENDS: readonly WatchEnd[] = ['directory_gone', 'too_many_directories'];

export class WatchLines {
  readonly #charactersMax: number;
  readonly #decoder = new TextDecoder();
  #rest = '';

  /** `charactersMax` is the maximum length of a line. */
  constructor(charactersMax: number) {
    this.#charactersMax = charactersMax;
  }

  /** What the lines say that are complete now; null if one is too long or says nothing of a watch. */
  push(chunk: Uint8Array): readonly WatchWord[] | null {
    const lines = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split('\n');
    this.#rest = lines.pop() ?? '';
    if ([...lines, this.#rest].some(({ length }) => length > this.#charactersMax)) return null;
    const words = lines.map(wordIn);
    return words.every((word) => word !== null) ? words : null;
  }
}

function wordIn(line: string): WatchWord | null {
  const { type, path, from, kind, reason, ...more } = membersIn(line);
  if (type === 'overflow') return { type };
  if (type === 'end') {
    const known = WATCH_ENDS.find((end) => end === reason && AGENT_ENDS.includes(end));
    return known === undefined ? null : { type, reason: known };
  }
  const change = FILE_CHANGES.find((known) => known === type);
  if (change === undefined || !isPath(path) || (kind !== 'file' && kind !== 'directory'))
    return null;
  const now = { path, ...escapedIn('path_escaped', more) };
  if (change !== 'moved') return { type: change, ...now, kind };
  if (!isPath(from)) return null;
  return { type: change, ...now, from, ...escapedIn('from_escaped', more), kind };
}

function isPath(value: unknown): value is string {
  return typeof value === 'string' && value.startsWith('/');
}

function escapedIn(name: 'path_escaped' | 'from_escaped', members: Members): object {
  const value = members[name];
  return typeof value === 'string' && /^(\/|%[\dA-F]{2})+$/.test(value) ? { [name]: value } : {};
}

type Members = Readonly<Record<string, unknown>>;

function membersIn(line: string): Members {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}
