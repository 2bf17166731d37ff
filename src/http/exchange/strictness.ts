// http, exchange: members and parameters that an operation does not know. They are ignored with a warning in the answer, or
// refused if the client asked for that with strict=true.

import { VolantError } from '../../lib/errors.ts';
import type { Problems } from '../../lib/formats/member-path.ts';
import { namesMembers, type Operation, queryOf } from '../../schema/operations/operation.ts';
import { documentedProblems } from '../../schema/rules/documented-problems.ts';
import { ignoredText, takeUnknownMembers, unknownText } from '../../schema/unknown-members.ts';
import { Query } from './query.ts';
import type { Reply } from './reply.ts';

/** The parts of a parameter's schema that are used here. */
interface ParameterShape {
  readonly type?: string;
  readonly enum?: readonly string[];
  readonly maximum?: number;
}

/**
 * Checks a body and the parameters of its request. One error names all problems: BODY_INVALID if the body has one, otherwise
 * PARAMETER_INVALID. Unknown members are removed from the body. Returns one sentence for each removed member and each unknown
 * parameter; if the client is strict, these are problems, too.
 */
export function admitBody(
  operation: Operation,
  check: (value: unknown) => Problems | null,
  queryText: string,
  body: unknown,
): readonly string[] {
  const parameters = parameterProblems(operation, queryText);
  const wrong = check(body) ?? rulesBroken(operation, body, parameters);
  if (operation.request === undefined || !namesMembers(operation)) {
    refuse(wrong, parameters);
    return [];
  }
  const members = takeUnknownMembers(operation.request.schema, body);
  const unknown = unknownParameters(operation, queryText);
  const isStrict = new Query(queryText).text('strict')?.toLowerCase() === 'true';
  if (isStrict) refuse({ ...members, ...wrong }, { ...unknown, ...parameters });
  else refuse(wrong, parameters);
  return [
    ...Object.entries(members).map(ignoredText),
    ...Object.entries(unknown).map(([name, text]) => ignoredText([`parameter ${name}`, text])),
  ];
}

/**
 * What the rules of a noun would refuse in a body of the right shape. It is asked for only beside wrong parameters, because the
 * rules are not reached then.
 */
function rulesBroken({ request }: Operation, body: unknown, parameters: Problems): Problems {
  if (request === undefined || Object.keys(parameters).length === 0) return {};
  return documentedProblems(request.schema, body);
}

/** Parameters without the form in the operation's table. Handlers check their meaning. */
export function parameterProblems(operation: Operation, queryText: string): Problems {
  const query = new Query(queryText);
  for (const { name, schema } of queryOf(operation)) {
    const { type, enum: words, maximum } = schema as ParameterShape;
    if (type === 'boolean') query.flag(name);
    else if (type === 'integer') query.count(name, maximum);
    else if (words?.[0] !== undefined) query.decision(name, words, words[0]);
  }
  return query.problems;
}

/**
 * Adds `warnings` to those of the answer; an empty answer gets a body. Lists are returned unchanged, because they have no
 * place for it.
 */
export function withWarnings(reply: Reply, warnings: readonly string[]): Reply {
  if (warnings.length === 0 || reply.status === 204) return reply;
  const body = reply.body ?? '{}';
  if (!body.startsWith('{') || !body.endsWith('}')) return reply;
  const own: unknown = body.includes('"warnings":') ? JSON.parse(body).warnings : undefined;
  if (Array.isArray(own)) {
    const all = { ...JSON.parse(body), warnings: [...own, ...warnings] };
    return { ...reply, body: JSON.stringify(all) };
  }
  const members = body.slice(0, -1);
  const text = JSON.stringify(warnings);
  return { ...reply, body: `${members}${members === '{' ? '' : ','}"warnings":${text}}` };
}

function unknownParameters(operation: Operation, query: string): Record<string, string> {
  if (query === '') return {};
  const known = queryOf(operation).map(({ name }) => name);
  const unknown = [...new URLSearchParams(query).keys()].filter((name) => !known.includes(name));
  return Object.fromEntries(unknown.map((name) => [name, unknownText(name, known)]));
}

function refuse(members: Problems, parameters: Problems): void {
  const details = { ...members, ...parameters };
  if (Object.keys(details).length === 0) return;
  const isOfBody = Object.keys(members).length > 0;
  throw new VolantError(isOfBody ? 'BODY_INVALID' : 'PARAMETER_INVALID', undefined, { details });
}
