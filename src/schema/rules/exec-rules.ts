// schema: rules for a request to run a program, beyond its shape. Pure.

import { LIMITS } from '../../config/limits.ts';
import type { Problems } from '../../lib/formats/member-path.ts';
import { type CreateExec, CreateExecSchema, inputOf } from '../exec.ts';
import { documentedProblems } from './documented-problems.ts';

/** What is wrong with a request beyond the shape of its members, by path. */
export function execProblems(request: CreateExec): Problems {
  const { argv, command, env = {}, stdin, stdin_base64: encoded } = request;
  const problems: Record<string, string> = { ...documentedProblems(CreateExecSchema, request) };
  if ((argv === undefined) === (command === undefined)) {
    problems['argv'] = 'is required, or command instead of it';
  }
  if (argv?.[0] === '') problems['argv[0]'] = 'must not be empty';
  const names = Object.keys(env);
  for (const name of names) {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: a NUL would end the text in the guest
    if (name === '' || /[=\u0000]/.test(name)) problems[`env.${name}`] = 'must be a name without =';
  }
  if (names.length > LIMITS.execVariablesMax) {
    problems['env'] = `must have at most ${LIMITS.execVariablesMax} members`;
  }
  const texts = [...(argv ?? []), command ?? '', ...Object.entries(env).flat()];
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text) + 1, 0);
  if (bytes > LIMITS.execCommandBytesMax) {
    problems['argv'] = `and env must have at most ${LIMITS.execCommandBytesMax} bytes together`;
  }
  if (stdin !== undefined && encoded !== undefined) {
    problems['stdin_base64'] = 'must be absent beside stdin';
  }
  if ((inputOf(request)?.length ?? 0) > LIMITS.execInputBytesMax) {
    const name = stdin === undefined ? 'stdin_base64' : 'stdin';
    problems[name] = `must have at most ${LIMITS.execInputBytesMax} bytes`;
  }
  return problems;
}
