// fuzz: the inputs that are kept for each target, in test/fuzz/corpus of the checkout.

import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';

/** Longer ones are not kept, and of those that were found by themselves only so many. */
export const KEPT_BYTES_MAX = 2048;
const KEPT_MAX = 40;

export const corpusOf = (target: string) => join(PROJECT_ROOT, 'test/fuzz/corpus', target);

/** In the order of their names. */
export function readCorpus(target: string): Buffer[] {
  const directory = corpusOf(target);
  return readdirSync(directory)
    .sort()
    .map((name) => readFileSync(join(directory, name)));
}

/** Adds those that are not there. Returns how many. */
export function keepInputs(target: string, inputs: readonly Buffer[]): number {
  const directory = corpusOf(target);
  mkdirSync(directory, { recursive: true });
  const known = new Set(readCorpus(target).map(nameOf));
  const added = inputs.filter((input) => !known.has(nameOf(input))).slice(0, KEPT_MAX);
  for (const input of added) writeFileSync(join(directory, nameOf(input)), input);
  return added.length;
}

/** Of a file with these bytes. */
export function nameOf(input: Buffer): string {
  return createHash('sha256').update(input).digest('hex').slice(0, 12);
}
