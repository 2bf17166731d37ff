// schema: from a schema to a function that tells what is wrong with a value, in words for a person.
// Shape only: what a field means is checked by the rules next to its noun.

import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import type { TValidationError } from 'typebox/error';
import { Settings } from 'typebox/system';
import { NAME_PATTERN, NAME_RULE } from './parts.ts';

/** What is wrong, keyed by JSON path: `config.resources.cpu_cores`, `entrypoint[2]`, or `body`. */
export type Problems = Readonly<Record<string, string>>;

/** Most problems that are looked for in one value; the rest shows when these are mended. */
const PROBLEMS_MAX = 64;

/** Longer keys of a client are cut in a path, so that an answer is not as large as its request. */
const KEY_CHARACTERS_MAX = 64;

// A nullable member costs up to two notes besides its problem, hence the factor.
Settings.Set({ maxErrors: PROBLEMS_MAX * 3 });

/**
 * Compiles a schema once. The function returns null for a valid value, else every problem found.
 * Words are looked for only when a value is wrong.
 */
export function compileValidator(schema: TSchema): (value: unknown) => Problems | null {
  const validator = Compile(schema);
  return (value) => (validator.Check(value) ? null : problemsOf(validator.Errors(value), value));
}

function problemsOf(errors: readonly TValidationError[], value: unknown): Problems {
  // What may be null is a union in the schema, and a union complains once per branch. The branch for
  // null is no problem of its own: it only says that null would have been taken, too.
  const nullable = new Set(errors.filter(isNullBranch).map((error) => error.instancePath));
  const problems = new Map<string, string>();
  for (const error of errors) {
    if (error.keyword === 'anyOf' || isNullBranch(error)) continue;
    const base = pathOf(error.instancePath, value);
    if (error.keyword === 'required') {
      for (const key of error.params.requiredProperties) {
        addFirst(problems, join(base, keyOf(key)), 'is required');
      }
      continue;
    }
    const orNull = error.keyword === 'type' && nullable.has(error.instancePath) ? ' or null' : '';
    addFirst(problems, base || 'body', `${sentenceOf(error)}${orNull}`);
  }
  if (problems.size === 0) problems.set('body', 'is not valid');
  return Object.fromEntries([...problems].slice(0, PROBLEMS_MAX));
}

function isNullBranch(error: TValidationError): boolean {
  return error.keyword === 'type' && error.params.type === 'null';
}

function addFirst(problems: Map<string, string>, path: string, problem: string): void {
  if (!problems.has(path)) problems.set(path, problem);
}

function sentenceOf(error: TValidationError): string {
  switch (error.keyword) {
    case 'type':
      return `must be ${nounOf(error.params.type)}`;
    case 'enum':
      return `must be one of ${error.params.allowedValues.join(', ')}`;
    case 'minimum':
    case 'maximum':
      return `must be ${error.params.comparison} ${error.params.limit}`;
    case 'minLength':
      return `must have at least ${error.params.limit} characters`;
    case 'maxLength':
      return `must have at most ${error.params.limit} characters`;
    case 'minItems':
      return `must have at least ${error.params.limit} items`;
    case 'maxItems':
      return `must have at most ${error.params.limit} items`;
    case 'pattern':
      return error.params.pattern === NAME_PATTERN
        ? `must be ${NAME_RULE}`
        : `must match ${error.params.pattern}`;
    default:
      return 'is not valid';
  }
}

function nounOf(type: string | readonly string[]): string {
  return [type]
    .flat()
    .map((name) => (/^[aeiou]/.test(name) ? `an ${name}` : `a ${name}`))
    .join(' or ');
}

/** JSON pointer (RFC 6901) -> path as it would be written in a program. */
function pathOf(pointer: string, root: unknown): string {
  let path = '';
  let at: unknown = root;
  for (const part of pointer.split('/').slice(1)) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
    path = join(path, Array.isArray(at) ? `[${key}]` : keyOf(key));
    at = memberOf(at, key);
  }
  return path;
}

function memberOf(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null
    ? (value as Readonly<Record<string, unknown>>)[key]
    : undefined;
}

/** The step of a path for one key: itself when it is a plain word, else quoted in brackets. */
export function keyOf(key: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_-]*$/.test(key) && key.length <= KEY_CHARACTERS_MAX) return key;
  const short = key.length > KEY_CHARACTERS_MAX ? `${key.slice(0, KEY_CHARACTERS_MAX)}...` : key;
  return `[${JSON.stringify(short)}]`;
}

/** Adds a step to a path. */
export function join(base: string, step: string): string {
  return base === '' || step.startsWith('[') ? `${base}${step}` : `${base}.${step}`;
}
