// http, guests: what passes of an agent's answer about files. The guest's root may have replaced the agent, so only known headers
// and codes pass, and texts are bounded.

import type { IncomingMessage } from 'node:http';
import { LIMITS } from '../../../config/limits.ts';
import { ERRORS, type ErrorCode, VolantError } from '../../../lib/errors.ts';
import { collect } from '../../../lib/net/collect.ts';
import { BYTES_TYPE, TAR_TYPE } from '../../../schema/operations/files.ts';
import { JSON_TYPE } from '../../exchange/reply.ts';

const CODE_HEADER = 'x-volant-code';

/** Codes of an agent, and the answers that have them. */
const AGENT_CODES: readonly ErrorCode[] = [
  'FILE_CHANGED',
  'FILE_EXISTS',
  'FILE_FORBIDDEN',
  'FILE_NOT_FOUND',
  'FILE_OPERATION_FAILED',
  'FILE_PATH_INVALID',
  'FILE_RANGE_INVALID',
  'FILE_SYSTEM_FULL',
  'FILE_SYSTEM_READ_ONLY',
  'FILE_TOO_LARGE',
  'FILE_TREE_TOO_LARGE',
  'FILE_TYPE_CONFLICT',
  'FILES_UNSUPPORTED',
  'OVERLOADED',
  'PARAMETER_INVALID',
  'TAR_INVALID',
];

const CLIENT_HEADERS = [
  'etag',
  'last-modified',
  'accept-ranges',
  'content-range',
  'x-volant-type',
  'x-volant-mode',
  'x-volant-owner',
];

const TYPES = [BYTES_TYPE, JSON_TYPE, TAR_TYPE];

const SENTENCE_CHARACTERS_MAX = 600;

/** Names and values of the headers that a client gets. */
export function fileHeaders(raw: readonly string[]): readonly (readonly [string, string])[] {
  return raw.flatMap((name, index): [string, string][] => {
    const value = raw[index + 1] ?? '';
    if (index % 2 === 1) return [];
    const lower = name.toLowerCase();
    // Anything else could be a page of the guest.
    if (lower === 'content-type') return [[name, TYPES.includes(value) ? value : BYTES_TYPE]];
    return CLIENT_HEADERS.includes(lower) ? [[name, value]] : [];
  });
}

/** The parts of a refusal: of an answer that is a stream, or was read as a whole. */
export interface Refusal {
  readonly status: number;
  readonly code: string;
  /** The value of Content-Range; empty if there is none. */
  readonly range: string;
  readonly text: string;
}

/** The error for an answer of 400 or more. */
export async function refusalIn(incoming: IncomingMessage): Promise<VolantError> {
  const { headers, statusCode: status = 0 } = incoming;
  const { bytes } = await collect(incoming, LIMITS.fileRefusalBytesMax, () => true);
  return refusalOf({
    status,
    code: String(headers[CODE_HEADER] ?? ''),
    range: headers['content-range'] ?? '',
    text: bytes.toString(),
  });
}

/** The error that a client gets for a refusal of the agent. */
export function refusalOf({ status, code: header, range, text }: Refusal): VolantError {
  const members = membersIn(text);
  const given = header === '' ? members['code'] : header;
  const code = AGENT_CODES.find((known) => known === given);
  if (code === undefined) {
    // An agent of an earlier version knows no files.
    if (status === 404) {
      const why =
        'The agent of this guest is of a version that cannot transfer files; make its image again';
      return new VolantError('FILES_UNSUPPORTED', why);
    }
    return new VolantError(
      'AGENT_UNREACHABLE',
      `The agent answered ${status} to a request about files`,
    );
  }
  const { error } = members;
  const sentence =
    typeof error === 'string' && error !== '' ? sentenceOf(error) : ERRORS[code].title;
  const headers = code === 'FILE_RANGE_INVALID' && /^bytes \*\/\d+$/.test(range);
  return new VolantError(code, sentence, headers ? { headers: { 'Content-Range': range } } : {});
}

function sentenceOf(error: string): string {
  return error.slice(0, SENTENCE_CHARACTERS_MAX).replace(/[\p{Cc}\p{Cs}]/gu, ' ');
}

function membersIn(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch (error) {
    // An answer to HEAD has no body, and a replaced agent may send anything.
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}
