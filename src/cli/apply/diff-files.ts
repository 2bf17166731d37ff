// cli, apply: what `volar diff` does: prints what `volar apply` would change.

import { DiffFailure } from '../exit.ts';
import type { Shell } from '../shell.ts';
import { readDocuments } from './documents.ts';
import { changedMembers } from './members.ts';
import { planAll } from './plans.ts';
import { coloured, yamlDiff } from './yaml-diff.ts';

/** Whether there are differences. Throws DiffFailure if the documents cannot be compared. */
export async function diffFiles(
  shell: Shell,
  files: readonly string[],
  isColoured: boolean,
): Promise<boolean> {
  try {
    const read = await readDocuments(files, shell.streams.stdin);
    const plans = await shell.progress('Comparing', planAll(shell.client, read));
    for (const plan of plans) {
      const lines = await yamlDiff(plan);
      const { document, result, before, after } = plan;
      const { kind, name } = document;
      if (shell.json) {
        const changes = result === 'changed' ? changedMembers(before, after) : undefined;
        shell.print(JSON.stringify({ kind, name, result, changes, diff: lines.join('\n') }));
        continue;
      }
      for (const line of isColoured ? coloured(lines) : lines) shell.print(line);
    }
    return plans.some(({ result }) => result !== 'unchanged');
  } catch (error) {
    throw new DiffFailure(error);
  }
}
