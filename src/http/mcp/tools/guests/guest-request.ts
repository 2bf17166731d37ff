// http, mcp: sends a request to the workload of a VM and returns its answer, both bounded, in a form for language models.

import { validateHeaderName, validateHeaderValue } from 'node:http';
import { type Static, Type } from 'typebox';
import { LIMITS } from '../../../../config/limits.ts';
import { VolantError } from '../../../../lib/errors.ts';
import { hasDotSegment } from '../../../../lib/net/dot-segments.ts';
import { OneOf, StringMap } from '../../../../schema/parts.ts';
import { GUEST_LIMITS } from '../../../../schema/rules/guest-limits.ts';
import { REQUEST_ID_HEADER } from '../../../exchange/request-id.ts';
import { askGuest } from '../../../guests/ask-guest.ts';
import { headersForClient, isForGuests } from '../../../guests/guest-head.ts';
import { NAME } from '../arguments.ts';
import type { ToolContext } from '../tool.ts';

/** The agent forwards paths below this one to the workload. */
const RELAY_PREFIX = '/v1';

const ENCODINGS = ['text', 'base64'] as const;

export const RequestInput = Type.Object({
  ...NAME,
  method: Type.Optional(OneOf(GUEST_LIMITS.actionMethods, 'GET when absent')),
  path: Type.String({
    pattern: '^/[\\x21-\\x7e]*$',
    maxLength: GUEST_LIMITS.requestTargetBytesMax - RELAY_PREFIX.length,
    description: 'Path and query at the workload, such as /users?limit=5; not a URL',
  }),
  headers: Type.Optional(StringMap),
  body: Type.Optional(
    Type.String({
      maxLength: LIMITS.mcpGuestBodyBytesMax,
      description: `At most ${LIMITS.mcpGuestBodyBytesMax} bytes; give its Content-Type in headers`,
    }),
  ),
  body_encoding: Type.Optional(OneOf(ENCODINGS, 'base64 for a body of bytes; text when absent')),
  answer_bytes: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: LIMITS.mcpAnswerBytesMax,
      description: `Maximum number of bytes of the answer's body; ${LIMITS.mcpAnswerBytes} when absent`,
    }),
  ),
  timeout: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: LIMITS.agentProxyTimeoutMs,
      description: `Milliseconds after which the answer is what has arrived; ${LIMITS.actionTimeoutMs} when absent`,
    }),
  ),
});

export const RequestAnswerSchema = Type.Object({
  status: Type.Integer({ description: "Status of the workload's answer" }),
  headers: StringMap,
  body: Type.String(),
  body_encoding: OneOf(ENCODINGS, 'base64 if the body is not UTF-8'),
  complete: Type.Boolean({
    description: 'false: the body is longer than answer_bytes, or was not complete in time',
  }),
});

/** Throws BODY_INVALID for a request that cannot be sent, and what AgentApi.connection and askGuest throw. */
export async function requestGuest(
  { engine, cause, gone }: ToolContext,
  { name, method = 'GET', path, timeout, answer_bytes, ...args }: Static<typeof RequestInput>,
): Promise<Static<typeof RequestAnswerSchema>> {
  const headers = { ...headersIn(args), [REQUEST_ID_HEADER]: cause.requestId ?? '' };
  const bytes = bodyIn(args);
  checkPath(path);
  const { status, rawHeaders, isWhole, ...answer } = await askGuest(
    engine.agents.connection(name),
    {
      method,
      path: RELAY_PREFIX + path,
      headers,
      ...(bytes === undefined ? {} : { bytes }),
      timeoutMs: timeout ?? LIMITS.actionTimeoutMs,
      answerBytesMax: answer_bytes ?? LIMITS.mcpAnswerBytes,
      acceptsPartial: true,
      signal: gone,
    },
  );
  const place = () => ({
    agentPath: '',
    target: RELAY_PREFIX + path,
    workloadUrl: engine.agents.workloadUrl(name),
  });
  return {
    status,
    headers: shownHeaders(headersForClient(rawHeaders, place)),
    ...shownBody(answer.bytes, isWhole),
    complete: isWhole,
  };
}

/** Octets of UTF-8 as Latin-1 characters, as node:http writes them. */
function headersIn({ headers = {} }: Pick<Static<typeof RequestInput>, 'headers'>) {
  const kept = Object.entries(headers).filter(([name]) => isForGuests(name));
  return Object.fromEntries(
    kept.map(([name, value]) => {
      const octets = Buffer.from(value).toString('latin1');
      try {
        validateHeaderName(name);
        validateHeaderValue(name, octets);
      } catch {
        throw invalid(`headers.${name}`, 'has characters that are not allowed in a header');
      }
      return [name, octets];
    }),
  );
}

function bodyIn({
  body,
  body_encoding = 'text',
}: Pick<Static<typeof RequestInput>, 'body' | 'body_encoding'>): Buffer | undefined {
  if (body === undefined) return undefined;
  const bytes = Buffer.from(body, body_encoding === 'base64' ? 'base64' : 'utf8');
  if (body_encoding === 'base64' && !/^[A-Za-z0-9+/]*={0,2}$/.test(body)) {
    throw invalid('body', 'must be base64');
  }
  if (bytes.length <= LIMITS.mcpGuestBodyBytesMax) return bytes;
  throw invalid('body', `must have at most ${LIMITS.mcpGuestBodyBytesMax} bytes`);
}

function checkPath(path: string): void {
  const [segments = ''] = path.split('?', 1);
  if (hasDotSegment(segments)) throw invalid('path', 'must have no segment "." or ".."');
}

function invalid(argument: string, rule: string): VolantError {
  const details = { [argument]: rule };
  return new VolantError('BODY_INVALID', 'The arguments are not valid', { details });
}

/** Names in lower case, repeated headers joined. A redirect within the workload is given as a path for this tool. */
function shownHeaders(headers: readonly (readonly [string, string])[]): Record<string, string> {
  const shown = new Map<string, string>();
  for (const [given, octets] of headers) {
    const name = given.toLowerCase();
    const text = name === 'location' ? octets : Buffer.from(octets, 'latin1').toString();
    const value = name === 'location' ? text.slice(RELAY_PREFIX.length) || '/' : text;
    const before = shown.get(name);
    shown.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  return Object.fromEntries(shown);
}

function shownBody(bytes: Buffer, isWhole: boolean) {
  try {
    // A truncated body may end within a character.
    const body = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes, {
      stream: !isWhole,
    });
    return { body, body_encoding: 'text' as const };
  } catch {
    return { body: bytes.toString('base64'), body_encoding: 'base64' as const };
  }
}
