// scripts: generates the limits of the guest's agent for manifests as C and as TypeScript from one table. A test compares
// both files with the table, so they cannot become outdated.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT_ROOT } from './lib/paths.mjs';

const TABLE = 'native/guest/manifest-limits.json';
const HEADER = 'native/guest/base/manifest_limits.h';
const MODULE = 'src/schema/rules/guest-limits.ts';
const ORIGIN = `Generated from ${TABLE}: npm run guest-limits.`;

/** The generated files with their texts. */
export function generatedFiles() {
  const { numbers, lists } = JSON.parse(readFileSync(join(PROJECT_ROOT, TABLE), 'utf8'));
  return new Map([
    [HEADER, headerOf(numbers)],
    [MODULE, moduleOf(numbers, lists)],
  ]);
}

/** Only the host uses the lists: the agent accepts any request that their members lead to. */
function headerOf(numbers) {
  const lines = Object.entries(numbers).map(
    ([name, [value, about]]) => `// ${about}\n#define ${macroOf(name)} ${value}`,
  );
  return `// guest: what the agent takes of a manifest, and the daemon therefore accepts.
// ${ORIGIN}
#ifndef VOLANT_MANIFEST_LIMITS_H
#define VOLANT_MANIFEST_LIMITS_H

${lines.join('\n')}

#endif
`;
}

function moduleOf(numbers, lists) {
  const member = (name, about, value) => `  /** ${about} */\n  ${name}: ${value},`;
  const lines = [
    ...Object.entries(numbers).map(([name, [value, about]]) =>
      member(name, about, String(value).replace(/\B(?=(\d{3})+$)/g, '_')),
    ),
    ...Object.entries(lists).map(([name, [values, about]]) =>
      member(name, about, `[${values.map((value) => `'${value}'`).join(', ')}]`),
    ),
  ];
  return `// schema: limits of the guest's agent for manifests. ${ORIGIN}

export const GUEST_LIMITS = {
${lines.join('\n')}
} as const;
`;
}

/** jsonDepthMax -> JSON_DEPTH_MAX */
function macroOf(name) {
  return name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}

if (process.argv[1] === import.meta.filename) {
  for (const [path, text] of generatedFiles()) {
    writeFileSync(join(PROJECT_ROOT, path), text);
    process.stdout.write(`wrote ${path}\n`);
  }
}
