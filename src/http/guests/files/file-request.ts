// http, guests: a request about files as the agent gets it: path, query and headers, checked. What is wrong is named here, before
// the guest is asked.

import { VolantError } from '../../../lib/errors.ts';
import type { Problems } from '../../../lib/formats/member-path.ts';
import { hasDotSegment } from '../../../lib/net/dot-segments.ts';
import { MODE_PATTERN, OWNER_PATTERN } from '../../../schema/file.ts';
import { type Operation, queryOf } from '../../../schema/operations/operation.ts';
import { GUEST_LIMITS } from '../../../schema/rules/guest-limits.ts';
import { unknownText } from '../../../schema/unknown-members.ts';
import { REQUEST_ID_HEADER } from '../../exchange/request-id.ts';
import { parameterProblems } from '../../exchange/strictness.ts';
import type { GuestRequestHead } from '../guest-head.ts';

/** Routes of the agent about files, and about changes of them. */
export const AGENT_FILES = '/agent/files';
const AGENT_WATCH = '/agent/watch';

/** Headers that the agent reads, besides those that an operation declares. */
const BODY_HEADERS = ['accept', 'content-type', 'content-length', 'transfer-encoding'];

export interface FileRequestParts {
  readonly method: string;
  /** Escaped, with its first slash. */
  readonly path: string;
  /** Without the "?". */
  readonly query: string;
  readonly requestId: string;
  readonly header: (name: string) => string;
}

/** Throws PARAMETER_INVALID with everything that is wrong. */
export function fileRequest(operation: Operation, parts: FileRequestParts): GuestRequestHead {
  const { method, path, query, requestId, header } = parts;
  const details = { ...pathProblems(path), ...queryProblems(operation, query) };
  const target = targetOf(AGENT_FILES, path, new URLSearchParams(query));
  if (target.length > GUEST_LIMITS.requestTargetBytesMax) {
    details['path'] =
      `must have at most ${GUEST_LIMITS.requestTargetBytesMax} bytes with its query, escaped`;
  }
  if (Object.keys(details).length > 0) {
    throw new VolantError('PARAMETER_INVALID', undefined, { details });
  }
  const names = [...(operation.headers ?? []), ...BODY_HEADERS];
  const given = names.map((name) => [name, header(name)] as const);
  const headers: Record<string, string> = {
    host: 'agent',
    [REQUEST_ID_HEADER.toLowerCase()]: requestId,
    ...Object.fromEntries(given.filter(([, value]) => value !== '').map(latin1)),
  };
  const isSized =
    headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
  if (!isSized) headers['content-length'] = '0';
  return { method, agentPath: '', target, headers };
}

/** The path of a request to the agent for a path of a guest, with parameters. */
export function agentTarget(
  guestPath: string,
  parameters: Readonly<Record<string, string>> = {},
): string {
  return targetOf(AGENT_FILES, escaped(guestPath), new URLSearchParams(parameters));
}

/** The path of the request to the agent for a watch. Throws PARAMETER_INVALID with everything that is wrong. */
export function watchTarget(operation: Operation, queryText: string): string {
  const query = new URLSearchParams(queryText);
  const path = query.get('path') ?? '';
  const details: Record<string, string> = { ...queryProblems(operation, queryText) };
  const problem = path === '' ? 'must be given, such as /srv' : placeProblem(path);
  if (problem !== null) details['path'] = problem;
  const asked = new URLSearchParams();
  for (const name of ['recursive', 'root']) {
    const value = query.get(name);
    if (value !== null) asked.set(name, name === 'recursive' ? value.toLowerCase() : value);
  }
  const target = targetOf(AGENT_WATCH, escaped(path), asked);
  if (target.length > GUEST_LIMITS.requestTargetBytesMax) {
    details['path'] ??= `must have at most ${GUEST_LIMITS.requestTargetBytesMax} bytes, escaped`;
  }
  if (Object.keys(details).length > 0) {
    throw new VolantError('PARAMETER_INVALID', undefined, { details });
  }
  return target;
}

function escaped(guestPath: string): string {
  const path = guestPath.split('/').map(encodeURIComponent).join('/');
  return path.startsWith('/') ? path : `/${path}`;
}

function targetOf(route: string, path: string, query: URLSearchParams): string {
  const text = query.toString();
  return `${route}${path}${text === '' ? '' : `?${text}`}`;
}

/** Octets of UTF-8 as Latin-1 characters, as node:http writes them. Characters that no header has are left out. */
function latin1([name, value]: readonly [string, string]): [string, string] {
  return [
    name,
    Buffer.from(value)
      .toString('latin1')
      .replaceAll(/[^\t\x20-\x7e\x80-\xff]/g, ''),
  ];
}

/** What is wrong with the escaped path, by the name `path`. */
function pathProblems(path: string): Record<string, string> {
  if (!/^[\x21-\x7e]*$/.test(path)) {
    return { path: 'must be visible ASCII, other characters escaped' };
  }
  if (/%(?![\da-fA-F]{2})/.test(path)) return { path: 'has a "%" that is no escape' };
  return path.includes('%00') ? { path: 'must have no NUL' } : {};
}

function queryProblems(operation: Operation, text: string): Record<string, string> {
  const query = new URLSearchParams(text);
  const known = queryOf(operation).map(({ name }) => name);
  const unknown = [...query.keys()].filter((name) => !known.includes(name));
  return {
    ...Object.fromEntries(unknown.map((name) => [name, unknownText(name, known)])),
    ...parameterProblems(operation, text),
    ...formProblems(query),
  };
}

function formProblems(query: URLSearchParams): Problems {
  const rules: readonly (readonly [string, (value: string) => string | null])[] = [
    ['mode', (value) => (isMode(value) ? null : 'must be octal, 0 to 7777')],
    ['owner', (value) => (isOwner(value) ? null : 'must be two numbers, such as 1000:1000')],
    ['root', (value) => (value.startsWith('/') ? placeProblem(value) : 'must begin with /')],
    ['to', placeProblem],
    ['as', nameProblem],
  ];
  return Object.fromEntries(
    rules.flatMap(([name, problemOf]) => {
      const value = query.get(name);
      const problem = value === null ? null : problemOf(value);
      return problem === null ? [] : [[name, problem]];
    }),
  );
}

function isMode(value: string): boolean {
  return new RegExp(MODE_PATTERN).test(value) && Number.parseInt(value, 8) <= 0o7777;
}

/** The largest number means "unchanged" to the kernel. */
function isOwner(value: string): boolean {
  const numbers = value.split(':').map(Number);
  return new RegExp(OWNER_PATTERN).test(value) && numbers.every((number) => number < 2 ** 32 - 1);
}

/** What is wrong with a path in a guest that is not escaped; null if nothing is. */
export function placeProblem(value: string): string | null {
  if (value.replaceAll('/', '') === '' && value !== '/') return 'must not be empty';
  if (value.includes('\0')) return 'must have no NUL';
  return hasDotSegment(value) ? 'must have no segment "." or ".."' : null;
}

/** "." stands for no name of its own. */
function nameProblem(value: string): string | null {
  return value === '.' ? null : placeProblem(value);
}
