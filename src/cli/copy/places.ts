// cli, copy: the source and the destination of `volar cp` as they are written: VM:PATH, a local path, or "-".

import { UsageError } from '../exit.ts';

export type Place =
  | { readonly kind: 'vm'; readonly vm: string; readonly path: string }
  | { readonly kind: 'local'; readonly path: string }
  | { readonly kind: 'stream' };

/** As in the schema, which is not loaded for a command. */
const VM_NAME = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;

/** A name of a VM before the first colon makes it a path in that VM; a local path with a colon is written ./a:b. */
export function parsePlace(text: string): Place {
  if (text === '-') return { kind: 'stream' };
  const colon = text.indexOf(':');
  const vm = text.slice(0, Math.max(colon, 0));
  if (colon < 1 || !VM_NAME.test(vm)) {
    if (text === '') throw new UsageError('A path is empty');
    return { kind: 'local', path: text };
  }
  const path = text.slice(colon + 1);
  if (path === '') throw new UsageError(`${text} has no path: write ${vm}:/PATH`);
  return { kind: 'vm', vm, path: plain(path, text) };
}

/** The ends "/." and "/" stay, because they have a meaning. */
function plain(path: string, text: string): string {
  const segments = path.replace(/^\/+/, '').split('/');
  const inner = segments.at(-1) === '.' ? segments.slice(0, -1) : segments;
  if (inner.includes('..')) throw new UsageError(`${text} has a segment ".."`);
  const kept = inner.filter((segment, index) => segment !== '.' && (segment !== '' || index > 0));
  const end = segments.at(-1) === '.' ? '/.' : '';
  return `/${kept.join('/')}${end}`;
}

/** What a path ends with, and the path without it. */
export function endOf(path: string): {
  readonly path: string;
  /** It ends with "/.": what is in the directory is meant. */
  readonly isContent: boolean;
  /** It ends with "/" or "/.": it must be a directory. */
  readonly isDirectory: boolean;
} {
  const isContent = path === '.' || path.endsWith('/.');
  const isDirectory = isContent || path.endsWith('/');
  const bare = path.replace(isContent ? /\/*\.$/ : /\/+$/, '');
  const empty = path.startsWith('/') ? '/' : '.';
  return { path: bare === '' ? empty : bare, isContent, isDirectory };
}

/** What is known of a source and a destination. */
export interface Ends {
  readonly sourceName: string;
  readonly source: 'file' | 'directory';
  /** The source ends with "/.". */
  readonly isContent: boolean;
  readonly destination: 'file' | 'directory' | 'absent';
  /** The destination ends with "/". */
  readonly mustBeDirectory: boolean;
  /** As it was written, for messages. */
  readonly written: string;
}

/**
 * Where the copy goes: `inside` the destination or `beside` it, into the directory that has it. `as` is its name there; null:
 * that of the destination. These are the rules of docker cp.
 */
export function landingOf(ends: Ends): {
  readonly where: 'inside' | 'beside';
  readonly as: string | null;
} {
  const { source, destination, written } = ends;
  if (destination === 'directory') {
    const isContent = ends.isContent && source === 'directory';
    return { where: 'inside', as: isContent ? '.' : ends.sourceName };
  }
  if (destination === 'file' && (source === 'directory' || ends.mustBeDirectory)) {
    throw new UsageError(`${written} is no directory`);
  }
  if (source === 'file' && ends.mustBeDirectory) {
    throw new UsageError(
      `${written} does not exist; a file can only go into a directory that does`,
    );
  }
  return { where: 'beside', as: null };
}
