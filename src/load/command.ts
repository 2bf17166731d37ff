// load: the command line of volant-load. It does not access the process: main.ts gives it streams, environment and the signal.

import { Command, CommanderError } from 'commander';
import { VERSION } from '../lib/version.ts';
import { addClean } from './clean-command.ts';
import type { CommandWorld } from './command-world.ts';
import { EXIT, PrintedResult, UsageError } from './exit-status.ts';
import { addCompare, addReport } from './report-commands.ts';
import { addCheck, addRun } from './run-command.ts';
import { ScenarioError } from './scenario/scenario-file.ts';
import { addScenarios } from './scenarios-command.ts';

const AFTER_HELP = `
Environment:
  VOLANT_API_BASE  the API, where --api is not given
  VOLANT_API_KEY   key of the API
  VOLANT_CA_FILE   as --ca

Exit status: 0 every threshold held, 1 a threshold did not hold (compare: a figure is
worse, clean: something is left), 2 wrong usage,
3 the run says nothing about the daemon, 130 interrupted by Ctrl-C.`;

/** Runs one command line, without the program's name. Resolves with the exit status. */
export async function runCommand(words: readonly string[], world: CommandWorld): Promise<number> {
  const program = createProgram(world);
  try {
    await program.parseAsync([...words], { from: 'user' });
    return EXIT.ok;
  } catch (error) {
    if (error instanceof PrintedResult) return error.exit;
    // Commander has printed the error already; requested help is not a failure.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    const message = error instanceof Error ? error.message : String(error);
    world.stderr.write(`volant-load: ${message}\n`);
    if (error instanceof ScenarioError) {
      for (const [field, problem] of Object.entries(error.details)) {
        world.stderr.write(`  ${field}: ${problem}\n`);
      }
    }
    const isUsage = error instanceof ScenarioError || error instanceof UsageError;
    return isUsage ? EXIT.usage : EXIT.invalid;
  }
}

function createProgram(world: CommandWorld): Command {
  const program = new Command('volant-load')
    .description('puts a Volant daemon under load, and measures how it performs')
    .version(VERSION, '-V, --version', 'print the version of volant-load')
    .configureOutput({
      writeOut: (text) => void world.stdout.write(text),
      writeErr: (text) => void world.stderr.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, 'volant-load: ')),
    })
    .addHelpText('after', AFTER_HELP)
    .showSuggestionAfterError()
    .exitOverride();
  addRun(program, world);
  addCheck(program, world);
  addScenarios(program, world);
  addReport(program, world);
  addCompare(program, world);
  addClean(program, world);
  return program;
}
