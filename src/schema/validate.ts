// schema: turns a schema into a function that describes what is wrong with a value, in words for a person. Shape only: the
// rules next to each noun check what its members mean.

import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import type { TValidationError } from 'typebox/error';
import { Settings } from 'typebox/system';
import { join, keyOf, type Problems, pathOfPointer } from '../lib/formats/member-path.ts';
import { shapeSentence } from '../lib/formats/shape-sentence.ts';
import { NAME_PATTERN, NAME_RULE } from './parts.ts';
import { documentedProblems } from './rules/documented-problems.ts';

/** Maximum number of problems that are reported for one value. */
const PROBLEMS_MAX = 64;

// A nullable member produces up to two more errors in addition to its problem, hence the factor.
Settings.Set({ maxErrors: PROBLEMS_MAX * 3 });

/**
 * Compiles a schema once, for the first value: the start of a daemon does not wait for schemas that nobody uses yet. The
 * function returns null for a valid value, otherwise every problem that it found. Messages are made only for invalid values.
 */
export function compileValidator(schema: TSchema): (value: unknown) => Problems | null {
  let compiled: ReturnType<typeof Compile> | undefined;
  return (value) => {
    compiled ??= Compile(schema);
    return compiled.Check(value) ? null : problemsOf(compiled.Errors(value), schema, value);
  };
}

function problemsOf(
  errors: readonly TValidationError[],
  schema: TSchema,
  value: unknown,
): Problems {
  // A nullable member is a union in the schema, and a union reports an error for each branch. The error of the null branch
  // is not a problem itself: it only shows that null is allowed, too.
  const nullable = new Set(errors.filter(isNullBranch).map((error) => error.instancePath));
  const problems = new Map<string, string>();
  for (const error of errors) {
    if (error.keyword === 'anyOf' || isNullBranch(error) || isOfMembers(error)) continue;
    const base = pathOfPointer('', error.instancePath, value);
    if (error.keyword === 'required') {
      for (const key of error.params.requiredProperties) {
        addFirst(problems, join(base, keyOf(key)), 'is required');
      }
      continue;
    }
    const orNull = error.keyword === 'type' && nullable.has(error.instancePath) ? ' or null' : '';
    addFirst(problems, base || 'body', `${sentenceOf(error)}${orNull}`);
  }
  for (const [path, problem] of Object.entries(documentedProblems(schema, value))) {
    addFirst(problems, path, problem);
  }
  if (problems.size === 0) problems.set('body', 'is not valid');
  return Object.fromEntries([...problems].slice(0, PROBLEMS_MAX));
}

function isNullBranch(error: TValidationError): boolean {
  return error.keyword === 'type' && error.params.type === 'null';
}

/** The validator reports a problem of a member of a map twice: for the map and for the member. */
function isOfMembers(error: TValidationError): boolean {
  return error.keyword === 'additionalProperties';
}

function addFirst(problems: Map<string, string>, path: string, problem: string): void {
  if (!problems.has(path)) problems.set(path, problem);
}

function sentenceOf(error: TValidationError): string {
  const isName = error.keyword === 'pattern' && error.params.pattern === NAME_PATTERN;
  return isName ? `must be ${NAME_RULE}` : (shapeSentence(error) ?? 'is not valid');
}
