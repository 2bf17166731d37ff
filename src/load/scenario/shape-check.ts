// load, scenario: compares a value with a schema, and says of every field what is wrong with it.

import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import type { TLocalizedValidationError } from 'typebox/error';
import { Settings } from 'typebox/system';
import { join, keyOf, pathOfPointer } from '../../lib/formats/member-path.ts';
import { shapeSentence } from '../../lib/formats/shape-sentence.ts';
import { LOAD_LIMITS } from '../load-limits.ts';

/** Path of a field, such as `phases[0].kind` -> what is wrong with it. */
export type ScenarioProblems = Map<string, string>;

// A choice reports one error for each of its branches.
Settings.Set({ maxErrors: LOAD_LIMITS.problemsMax * 4 });

/** Adds what is wrong with the value at `path` to `problems`. true: nothing is. */
export function checkShape<T extends TSchema>(
  schema: T,
  value: unknown,
  path: string,
  problems: ScenarioProblems,
): boolean {
  const validator = Compile(schema);
  if (validator.Check(value)) return true;
  for (const error of validator.Errors(value)) {
    const at = pathOfPointer(path, error.instancePath, value);
    if (error.keyword === 'required') {
      for (const key of error.params.requiredProperties) {
        addProblem(problems, join(at, keyOf(key)), 'is required');
      }
    } else if (error.keyword !== 'additionalProperties' && error.keyword !== 'anyOf') {
      addProblem(problems, at, sentenceOf(error));
    }
  }
  return false;
}

/** Of one field the first problem is kept. */
export function addProblem(problems: ScenarioProblems, path: string, problem: string): void {
  const key = path === '' ? 'scenario' : path;
  if (!problems.has(key) && problems.size < LOAD_LIMITS.problemsMax) problems.set(key, problem);
}

function sentenceOf(error: TLocalizedValidationError): string {
  return error.keyword === 'boolean'
    ? 'is not known here'
    : (shapeSentence(error) ?? error.message);
}
