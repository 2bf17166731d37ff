// cli, commands: what log and console of a VM have in common: one that does not run has neither.

import { ConflictError } from '../exit.ts';
import type { Shell } from '../shell.ts';

const OVER = ['stopped', 'crashed', 'deleting'];

/** Its status. Throws ConflictError for a VM that prints nothing any more, with where its last output is. */
export async function requireOutput(shell: Shell, name: string): Promise<string> {
  const { status } = await shell.client.vms.get(name);
  if (!OVER.includes(status)) return status;
  const remedy = `\`volar vms logs ${name} --last\` shows what it printed last.`;
  throw new ConflictError(`VM ${name} is ${status}: it prints nothing`, remedy);
}
