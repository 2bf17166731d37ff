// cli, commands: `volar completion`, and the hidden command that the scripts of it ask.

import { Argument, type Command } from 'commander';
import { ApiError, ConnectionError, RequestTimeoutError } from '../../client/errors.ts';
import { complete, completionScript, SHELLS } from '../completion.ts';
import type { Shell, ShellMaker } from '../shell.ts';

/** Somebody has pressed a key and waits. */
const NAMES_TIMEOUT_MS = 1000;

export function addCompletion(program: Command, shells: ShellMaker): void {
  program
    .command('completion')
    .description('print the script that completes what you type')
    .addArgument(new Argument('<shell>', 'your shell').choices(SHELLS))
    .action(
      shells.action((shell, [name]) => {
        shell.print(completionScript(name === 'zsh' ? 'zsh' : 'bash'));
      }),
    );
  program
    .command('__complete', { hidden: true })
    .argument('[words...]')
    .action(
      shells.action(async (shell, words) => {
        const candidates = await complete(program, words, (argument) => namesFor(shell, argument));
        for (const candidate of candidates) shell.print(candidate);
      }),
    );
}

/** None when the daemon is away: who types gets no candidates, not an error in the middle of a line. */
async function namesFor({ client }: Shell, argument: string): Promise<readonly string[]> {
  const options = { timeoutMs: NAMES_TIMEOUT_MS };
  try {
    if (argument === 'vm') {
      return (await client.vms.list({}, options)).vms.map(({ name }) => name);
    }
    if (argument === 'plugin') return await client.plugins.list(options);
    if (argument === 'deployment') {
      return (await client.deployments.list(options)).map(({ name }) => name);
    }
    return [];
  } catch (error) {
    const away = [ApiError, ConnectionError, RequestTimeoutError];
    if (away.some((expected) => error instanceof expected)) return [];
    throw error;
  }
}
