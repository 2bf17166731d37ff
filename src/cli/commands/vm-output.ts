// cli, commands: a check that the log and the console have in common: a VM that does not run has neither.

import { ConflictError } from '../exit.ts';
import type { Shell } from '../shell.ts';

const OVER = ['stopped', 'crashed', 'deleting'];

/**
 * The status of the VM. Throws ConflictError for a VM that prints nothing any more, with the command for its last output.
 */
export async function requireOutput(shell: Shell, name: string): Promise<string> {
  const { status } = await shell.client.vms.get(name);
  if (!OVER.includes(status)) return status;
  const remedy = `\`volar vms logs ${name} --last\` shows its last output.`;
  throw new ConflictError(`VM ${name} is ${status}: it has no output`, remedy);
}
