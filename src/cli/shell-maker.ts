// cli: creates the shell of a command when it runs. The client and WebSockets are loaded only then: help and completion of
// words do not need them.

import type { Command } from 'commander';
import type { GlobalOptions, Shell } from './shell.ts';
import type { Environment, Streams } from './terminal/streams.ts';

/** The action of a command: it gets its arguments and its own options. */
type Run<Options> = (
  shell: Shell,
  args: readonly string[],
  options: Options,
) => void | Promise<void>;

export class ShellMaker {
  readonly streams: Streams;
  readonly environment: Environment;

  constructor(streams: Streams, environment: Environment) {
    this.streams = streams;
    this.environment = environment;
  }

  /** The action in the form that commander calls. */
  action<Options = unknown>(run: Run<Options>): (...given: unknown[]) => Promise<void> {
    return async (...given) => {
      const command = given.at(-1) as Command;
      const { Shell } = await import('./shell.ts');
      const options = command.optsWithGlobals<GlobalOptions>();
      const shell = new Shell(this.streams, this.environment, options);
      await run(shell, command.args, command.opts() as Options);
    };
  }

  /** Like action(), for a command that needs a WebSocket. */
  socketAction<Options = unknown>(run: Run<Options>): (...given: unknown[]) => Promise<void> {
    return async (...given) => {
      const command = given.at(-1) as Command;
      const [{ Shell }, { WebSocket }] = await Promise.all([import('./shell.ts'), import('ws')]);
      const options = command.optsWithGlobals<GlobalOptions>();
      const shell = new Shell(this.streams, this.environment, options, WebSocket);
      await run(shell, command.args, command.opts() as Options);
    };
  }
}
