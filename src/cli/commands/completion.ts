// cli, commands: `volar completion`, and the hidden command that its scripts call.

import { Argument, type Command } from 'commander';
import { ApiError, ConnectionError, RequestTimeoutError } from '../../client/errors.ts';
import { complete, completionScript, SHELLS } from '../completion.ts';
import type { Shell } from '../shell.ts';
import type { ShellMaker } from '../shell-maker.ts';

/** A person has pressed a key and waits; on a busy host the start of `volar` alone takes a second. */
const NAMES_TIMEOUT_MS = 5000;

export function addCompletion(program: Command, shells: ShellMaker): void {
  program
    .command('completion')
    .description('print the completion script of a shell')
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

/** Empty if the daemon cannot be reached: completion offers no names then, and prints no error. */
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
    if (argument === 'image') {
      return (await client.images.list(options)).images.flatMap(({ names }) => names);
    }
    return [];
  } catch (error) {
    const away = [ApiError, ConnectionError, RequestTimeoutError];
    if (away.some((expected) => error instanceof expected)) return [];
    throw error;
  }
}
