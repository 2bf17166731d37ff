// tidy: the files of the project, and what each of those in src imports.

import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';

const SKIPPED = new Set(['node_modules', 'build', 'dist', '.build', '.git', 'results']);

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    if (SKIPPED.has(entry.name)) return [];
    const path = join(directory, entry.name);
    return entry.isDirectory() ? filesBelow(path) : [path];
  });
}

export const ROOT = resolve(PROJECT_ROOT);

/** All paths are relative to the root of the project. */
export const FILES = filesBelow(ROOT).map((path) => relative(ROOT, path));

export const sources = FILES.filter((path) => /^src\/.*\.ts$/.test(path));

export const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');

export interface Import {
  readonly from: string;
  readonly typeOnly: boolean;
  readonly names: readonly string[];
}

/** Comments and texts that look like imports do not begin a line with the word. */
export function importsOf(text: string): Import[] {
  const statements = text.matchAll(/^(?:import|export)\s+(type\s+)?([^'";]*?)from\s+'([^']+)'/gm);
  return [...statements].map(([, type, clause = '', from = '']) => {
    const names = (/\{([^}]*)\}/.exec(clause)?.[1] ?? clause)
      .split(',')
      .map((name) => name.trim())
      .filter((name) => name !== '');
    const values = names.filter((name) => !name.startsWith('type '));
    return { from, typeOnly: type !== undefined || values.length === 0, names: values };
  });
}
