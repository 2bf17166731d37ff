// cli: volar: joins its commands and global options, and runs one command line. It does not access the process.

import { Command } from 'commander';
import { baseUrlOf } from '../client/base-url.ts';
import { VERSION } from '../lib/version.ts';
import { addApply } from './commands/apply.ts';
import { addCompletion } from './commands/completion.ts';
import { addCopy } from './commands/cp.ts';
import { addDeployments } from './commands/deployments.ts';
import { addDevices } from './commands/devices.ts';
import { addDiff } from './commands/diff.ts';
import { addEvents } from './commands/events.ts';
import { addExec } from './commands/exec.ts';
import { addExecs } from './commands/execs.ts';
import { addImages } from './commands/images.ts';
import { addKeys } from './commands/keys.ts';
import { addPlugins } from './commands/plugins.ts';
import { addRun } from './commands/run.ts';
import { addSystem } from './commands/system.ts';
import { addTop } from './commands/top.ts';
import { addVms } from './commands/vms.ts';
import { addWatch } from './commands/watch.ts';
import { EXIT, renderFailure, toFailure } from './exit.ts';
import { endOptionsAtImage } from './program-words.ts';
import { ShellMaker } from './shell-maker.ts';
import type { Environment, Streams } from './terminal/streams.ts';

/** Options of volar itself whose value is the next word. */
const GLOBAL_WITH_VALUE = ['-a', '--api', '--ca'];

const AFTER_HELP = `
Environment:
  VOLANT_API_BASE  the API, where --api is not given
  VOLANT_API_KEY   key of the API
  VOLANT_CA_FILE   as --ca

Exit status: 0 done, 1 refused or failed, 2 usage error, 3 not found, 4 conflict,
5 no daemon, 6 took too long, 130 interrupted by Ctrl-C.`;

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
      // The same prefix as in renderFailure.
      outputError: (text, write) => write(text.replace(/^error: /, 'volar: ')),
    })
    .addHelpText('after', AFTER_HELP)
    .showSuggestionAfterError()
    .exitOverride();
  const shells = new ShellMaker(streams, environment);
  addRun(program, shells);
  addVms(program, shells);
  addExec(program, shells);
  addExecs(program, shells);
  addDeployments(program, shells);
  addPlugins(program, shells);
  addImages(program, shells);
  addDevices(program, shells);
  addEvents(program, shells);
  addApply(program, shells);
  addCopy(program, shells);
  addWatch(program, shells);
  addDiff(program, shells);
  addKeys(program, shells);
  addSystem(program, shells);
  addTop(program, shells);
  addCompletion(program, shells);
  return program;
}

/** Runs one command line, without the program's name. Resolves with the exit status. */
export async function runCli(
  words: readonly string[],
  streams: Streams,
  environment: Environment,
): Promise<number> {
  const program = createProgram(streams, environment);
  try {
    const given = endOptionsAtImage(program, withArchive(withHelp(words)));
    await program.parseAsync(given, { from: 'user' });
    return EXIT.ok;
  } catch (error) {
    const { api, json } = program.opts<{ api?: string; json?: true }>();
    const failure = toFailure(error, baseUrlOf(environment, api));
    if (failure.silent !== true) streams.stderr.write(renderFailure(failure, json === true));
    return failure.exit;
  }
}

/** Behind `cp` the option -a is that of docker cp. Elsewhere it names the API. */
function withArchive(words: readonly string[]): string[] {
  let at = 0;
  while (words[at]?.startsWith('-')) at += GLOBAL_WITH_VALUE.includes(words[at] ?? '') ? 2 : 1;
  if (words[at] !== 'cp') return [...words];
  return words.flatMap((word, index) => {
    if (index < at || !/^-[aLq]*a[aLq]*$/.test(word)) return [word];
    const others = word.replaceAll('a', '');
    return others === '-' ? ['--archive'] : ['--archive', others];
  });
}

/** Converts `help vms create` to `vms create --help`, for every depth of commands, also after global options. */
function withHelp(words: readonly string[]): string[] {
  let at = 0;
  while (words[at]?.startsWith('-')) at += GLOBAL_WITH_VALUE.includes(words[at] ?? '') ? 2 : 1;
  const command = words.slice(at + 1);
  if (words[at] !== 'help' || command.length === 0) return [...words];
  return [...words.slice(0, at), ...command, '--help'];
}
