// cli, apply: what a plan changes, as a unified diff of YAML.

import { keyOf } from './documents.ts';
import { unifiedDiff } from './line-diff.ts';
import type { Plan } from './plans.ts';

const COLOURS = { '-': '\x1b[31m', '+': '\x1b[32m', '@': '\x1b[36m' } as const;
const BOLD = '\x1b[1m';
const PLAIN = '\x1b[0m';

/** The lines of the diff, headers included; empty if the plan changes nothing. */
export async function yamlDiff(plan: Plan): Promise<readonly string[]> {
  const { document, before, after } = plan;
  if (plan.result === 'unchanged') return [];
  const hunks = unifiedDiff(await yamlLines(before), await yamlLines(after));
  const name = keyOf(document);
  return [
    `--- ${before === undefined ? '/dev/null' : `${name} (daemon)`}`,
    `+++ ${name} (${document.file}:${document.line})`,
    ...hunks,
  ];
}

/** For a terminal. */
export function coloured(lines: readonly string[]): readonly string[] {
  return lines.map((line, at) => {
    if (at < 2) return `${BOLD}${line}${PLAIN}`;
    const colour = COLOURS[line[0] as keyof typeof COLOURS];
    return colour === undefined ? line : `${colour}${line}${PLAIN}`;
  });
}

async function yamlLines(value: object | undefined): Promise<readonly string[]> {
  if (value === undefined) return [];
  const { stringify } = await import('yaml');
  // Long lines stay whole, so that a change in one of them is one line. Members are sorted: their order means nothing.
  const text = stringify(value, {
    lineWidth: 0,
    sortMapEntries: true,
    aliasDuplicateObjects: false,
  });
  return text.trimEnd().split('\n');
}
