// cli: volar: its commands joined, its options, and how a call of it ends. Knows no process.

import { Command } from 'commander';
import { VERSION } from '../lib/version.ts';
import { addApply } from './commands/apply.ts';
import { addCompletion } from './commands/completion.ts';
import { addDeployments } from './commands/deployments.ts';
import { addDevices } from './commands/devices.ts';
import { addEvents } from './commands/events.ts';
import { addKeys } from './commands/keys.ts';
import { addPlugins } from './commands/plugins.ts';
import { addSystem } from './commands/system.ts';
import { addVms } from './commands/vms.ts';
import { EXIT, renderFailure, toFailure } from './exit.ts';
import { baseUrlOf, ShellMaker } from './shell.ts';
import type { Environment, Streams } from './streams.ts';

const AFTER_HELP = `
Environment:
  VOLANT_API_BASE  the API, where --api is not given
  VOLANT_API_KEY   key of the API
  VOLANT_CA_FILE   as --ca

Exit status: 0 done, 1 refused or failed, 2 usage error, 3 not found, 4 conflict,
5 no daemon, 6 took too long.`;

export function createProgram(streams: Streams, environment: Environment): Command {
  const program = new Command('volar')
    .description('microVM fleets from the command line')
    .version(VERSION, '-V, --version', 'print the version of volar')
    .option('-a, --api <url>', 'the API: http://host:port, https://host:port or unix:/path')
    .option('--ca <file>', 'PEM file of the authorities that signed an HTTPS server')
    .option('--json', 'print JSON, for programs')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => void streams.stdout.write(text),
      writeErr: (text) => void streams.stderr.write(text),
      // As renderFailure begins.
      outputError: (text, write) => write(text.replace(/^error: /, 'volar: ')),
    })
    .addHelpText('after', AFTER_HELP)
    .showSuggestionAfterError()
    .exitOverride();
  const shells = new ShellMaker(streams, environment);
  addVms(program, shells);
  addDeployments(program, shells);
  addPlugins(program, shells);
  addDevices(program, shells);
  addEvents(program, shells);
  addApply(program, shells);
  addKeys(program, shells);
  addSystem(program, shells);
  addCompletion(program, shells);
  return program;
}

/** Runs one command line, without the program's own name, and resolves with its exit status. */
export async function runCli(
  words: readonly string[],
  streams: Streams,
  environment: Environment,
): Promise<number> {
  const program = createProgram(streams, environment);
  try {
    await program.parseAsync(withHelp(words), { from: 'user' });
    return EXIT.ok;
  } catch (error) {
    const { api, json } = program.opts<{ api?: string; json?: true }>();
    const failure = toFailure(error, baseUrlOf(environment, api));
    if (failure.silent !== true) streams.stderr.write(renderFailure(failure, json === true));
    return failure.exit;
  }
}

/** `help vms create` is `vms create --help`, as deep as commands go. */
function withHelp(words: readonly string[]): string[] {
  const [first, ...command] = words;
  return first === 'help' && command.length > 0 ? [...command, '--help'] : [...words];
}
