// fuzz, api: what must hold for the answer to a request: it comes, it is HTTP, the document describes it, an error has a code
// of the table, and all that was wrong is named. What operations have done is looked at in readback.ts.

import { ERRORS, type ErrorCode } from '../../../src/lib/errors.ts';
import type { DocumentChecker } from '../../helpers/document.ts';
import type { RawAnswer } from './answer.ts';
import type { Ending } from './connection.ts';
import type { FuzzRequest } from './requests.ts';
import { isBelow } from './values.ts';

/** Errors that the world outside of the daemon makes. Every other 5xx is the daemon's fault. */
const OUTSIDE: readonly ErrorCode[] = [
  'AGENT_UNREACHABLE',
  'ACTION_FAILED',
  'DOCUMENT_UNREACHABLE',
  'MEDIA_DOWNLOAD_FAILED',
  'VFIO_UNAVAILABLE',
  'CAPACITY_EXHAUSTED',
  'OVERLOADED',
];

/** An answer without a body has no code. */
const OUTSIDE_STATUSES: readonly number[] = OUTSIDE.map((code) => ERRORS[code].status);

/** What the server library answers by itself, without a body that is ours. */
const OF_LIBRARY = [400, 431, 505];

export class Judge {
  readonly #checker: DocumentChecker;
  readonly #listed: (request: FuzzRequest) => ReadonlySet<string>;

  constructor(checker: DocumentChecker) {
    this.#checker = checker;
    this.#listed = ({ operation }) => new Set(Object.keys(operation.description.responses));
  }

  /** Problems; empty when all holds. */
  problems(request: FuzzRequest, ending: Ending): readonly string[] {
    switch (ending.kind) {
      case 'late':
        return ['no answer in time'];
      case 'closed':
        return ['the connection was closed without an answer'];
      case 'malformed':
        return [`the answer is not HTTP: ${ending.why}`];
      case 'stream':
        return this.#ofAnswer(request, ending.answer);
      case 'answer':
        return this.#ofAnswer(request, ending.answer);
    }
  }

  #ofAnswer(request: FuzzRequest, answer: RawAnswer): readonly string[] {
    const { status, headers, text } = answer;
    const isHostile = request.kind === 'hostile';
    if (isHostile && status === 101) return [];
    const type = headers.get('content-type') ?? '';
    if (isHostile && OF_LIBRARY.includes(status) && !type.includes('json')) return [];
    const isOwn = this.#checker.knows(request.method, request.target);
    const problems: string[] = [];
    if (!headers.has('x-request-id')) problems.push(`${status} without X-Request-Id`);
    if (request.method === 'HEAD' || request.method === 'OPTIONS') {
      return status >= 500 && !OUTSIDE_STATUSES.includes(status)
        ? [...problems, `${status}`]
        : problems;
    }
    // JSON-RPC has errors of its own; the document has their form. A batch is described in words.
    const isRpc = request.operation.id === 'postMCPCommand' && /^\[?\{"jsonrpc"/.test(text);
    const isJson = type.startsWith('application/json');
    if (isJson && text !== '' && parsed(text) === undefined) {
      return [...problems, `${status} with a body that is no JSON: ${text.slice(0, 300)}`];
    }
    // A daemon that is not well says what is wrong with it.
    const isHealth = request.operation.id === 'getHealth' && status === 503;
    if (status >= 400 && !isRpc && !isHealth)
      problems.push(...this.#ofError(request, status, text));
    const isBatch = isRpc && text.startsWith('[');
    if (isOwn && !isBatch)
      problems.push(...this.#checker.check(request.method, request.target, answer));
    if (!isHostile && !this.#listed(request).has(String(status))) {
      problems.push(`${status} is not listed: ${text.slice(0, 200)}`);
    }
    return [...problems, ...ofWrong(request, status, text)];
  }

  #ofError(request: FuzzRequest, status: number, text: string): readonly string[] {
    const value = parsed(text);
    const problems = [...this.#checker.checkComponent('Error', value)];
    const { code = '' } = (value ?? {}) as { code?: string };
    const isKnown = Object.hasOwn(ERRORS, code);
    if (!isKnown) problems.push(`${status} with the code ${JSON.stringify(code)}`);
    else if (ERRORS[code as ErrorCode].status !== status)
      problems.push(`${code} came as ${status}`);
    if (status >= 500 && !OUTSIDE.includes(code as ErrorCode)) {
      problems.push(`${status} ${code}: ${text.slice(0, 300)}`);
    }
    if (request.kind === 'right' && code === 'JSON_INVALID')
      problems.push('right JSON was refused');
    return problems;
  }
}

/** What is wrong is refused, and each place of it is named. */
function ofWrong(request: FuzzRequest, status: number, text: string): readonly string[] {
  if (request.kind !== 'wrong' || request.operation.id === 'postMCPCommand') return [];
  if (status < 300) return [`${status}, though wrong are ${request.paths.join(', ')}`];
  if (status !== 400) return [];
  const { details = {} } = parsed(text) as { details?: Record<string, string> };
  const named = Object.keys(details);
  return request.paths
    .filter(
      (path) => !named.some((name) => isBelow(name, path) || (path === 'body' && name !== '')),
    )
    .map((path) => `${path} is wrong and not named: ${text.slice(0, 300)}`);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
