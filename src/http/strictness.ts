// http: members and parameters that an operation does not know: ignored with a warning in the answer, or
// refused where the client asked for that with strict=true.

import { VolantError } from '../lib/errors.ts';
import { namesMembers, type Operation, queryOf } from '../schema/operations/operation.ts';
import { ignoredText, takeUnknownMembers, unknownText } from '../schema/unknown-members.ts';
import { Query } from './query.ts';
import type { Reply } from './reply.ts';

/**
 * Takes out of a body what the operation does not know, and says so in a sentence for each member and each
 * parameter. BODY_INVALID or PARAMETER_INVALID where the client is strict.
 */
export function warningsOf(
  operation: Operation,
  queryText: string,
  body: unknown,
): readonly string[] {
  if (operation.request === undefined || !namesMembers(operation)) return [];
  const members = takeUnknownMembers(operation.request.schema, body);
  const parameters = unknownParameters(operation, queryText);
  const query = new Query(queryText);
  const isStrict = query.flag('strict');
  query.throwProblems();
  if (isStrict) {
    refuse('BODY_INVALID', members);
    refuse('PARAMETER_INVALID', parameters);
  }
  return [
    ...Object.entries(members).map(ignoredText),
    ...Object.entries(parameters).map(([name, text]) => ignoredText([`parameter ${name}`, text])),
  ];
}

/** The answer with a member `warnings`; one without a body gets a body of it. Lists have no place for it. */
export function withWarnings(reply: Reply, warnings: readonly string[]): Reply {
  if (warnings.length === 0 || reply.status === 204) return reply;
  const text = JSON.stringify(warnings);
  const body = reply.body ?? '{}';
  if (!body.startsWith('{') || !body.endsWith('}')) return reply;
  const members = body.slice(0, -1);
  return { ...reply, body: `${members}${members === '{' ? '' : ','}"warnings":${text}}` };
}

function unknownParameters(operation: Operation, query: string): Record<string, string> {
  if (query === '') return {};
  const known = queryOf(operation).map(({ name }) => name);
  const unknown = [...new URLSearchParams(query).keys()].filter((name) => !known.includes(name));
  return Object.fromEntries(unknown.map((name) => [name, unknownText(name, known)]));
}

function refuse(code: 'BODY_INVALID' | 'PARAMETER_INVALID', details: Record<string, string>): void {
  if (Object.keys(details).length > 0) throw new VolantError(code, undefined, { details });
}
