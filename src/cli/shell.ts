// cli: what every command has at hand: the client, the way to print, progress. One for each call of
// volar, made when the options are known.

import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { WebSocket } from 'ws';
import {
  type ClientOptions,
  createClient,
  DEFAULT_BASE_URL,
  type VolantClient,
} from '../client/client.ts';
import { type Failure, renderFailure, UsageError } from './exit.ts';
import { withProgress } from './progress.ts';
import type { Environment, Streams } from './streams.ts';
import { type Column, type Facts, renderFacts, renderTable } from './table.ts';

/** `localhost:7777`, `10.0.0.1:7777`, `[::1]:7777`: without a scheme, which is then http. */
const HOST_AND_PORT = /^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}\/?$/;

/** As shells count what SIGINT has ended. */
const EXIT_INTERRUPTED = 130;

interface GlobalOptions {
  readonly api?: string;
  readonly ca?: string;
  readonly json?: true;
}

/** Of a command: its arguments as they were typed, and its own options. */
type Run<Options> = (
  shell: Shell,
  args: readonly string[],
  options: Options,
) => void | Promise<void>;

export class Shell {
  readonly streams: Streams;
  readonly baseUrl: string;
  readonly client: VolantClient;
  /** For programs: JSON instead of tables and sentences. */
  readonly json: boolean;

  constructor(streams: Streams, environment: Environment, options: GlobalOptions) {
    this.streams = streams;
    this.json = options.json === true;
    this.baseUrl = baseUrlOf(environment, options.api);
    const apiKey = environment['VOLANT_API_KEY'];
    const caFile = options.ca ?? environment['VOLANT_CA_FILE'];
    this.client = clientOf({
      strict: true,
      baseUrl: this.baseUrl,
      WebSocket,
      ...(apiKey ? { apiKey } : {}),
      ...(caFile ? { ca: readCa(caFile) } : {}),
    });
  }

  /** A line of the result. */
  print(line: string): void {
    this.streams.stdout.write(`${line}\n`);
  }

  /** A line that is not part of the result. */
  note(line: string): void {
    this.streams.stderr.write(`${line}\n`);
  }

  /** What failed for one of several names. */
  tellFailure(failure: Failure): void {
    if (failure.silent !== true) this.streams.stderr.write(renderFailure(failure, this.json));
  }

  printJson(value: unknown): void {
    this.print(JSON.stringify(value, null, 2));
  }

  /** The value for programs, the sentence for people. */
  say(value: unknown, sentence: string): void {
    if (this.json) this.printJson(value);
    else this.print(sentence);
  }

  /** One thing: all of it for programs, a fact on each line for people. */
  printFacts(value: unknown, facts: Facts): void {
    if (this.json) this.printJson(value);
    else for (const line of renderFacts(facts)) this.print(line);
  }

  /** A list for programs, a table for people; `none` is said when there is nothing. */
  printRows<T>(rows: readonly T[], columns: readonly Column<T>[], none: string): void {
    if (this.json) this.printJson(rows);
    else if (rows.length === 0) this.note(none);
    else {
      const { columns: width } = this.streams.stdout;
      for (const line of renderTable(rows, columns, width)) this.print(line);
    }
  }

  /** Waits, and shows on a terminal that it does. */
  progress<T>(what: string, work: Promise<T>): Promise<T> {
    return withProgress(this.streams.stderr, what, work);
  }

  /** The same for what may have to wait for images of a VM or of a deployment: their progress is told. */
  progressOf<T>(name: string, what: string, work: Promise<T>): Promise<T> {
    const { events } = this.client;
    return this.#interruptible(
      name,
      withProgress(this.streams.stderr, what, work, { events, name }),
    );
  }

  /** Who leaves with Ctrl-C is told that the daemon goes on. */
  async #interruptible<T>(name: string, work: Promise<T>): Promise<T> {
    const onInterrupt = () => {
      this.note(
        `\nThe operation continues in the background; \`volar vms why ${name}\` tells of it.`,
      );
      this.streams.exit?.(EXIT_INTERRUPTED);
    };
    this.streams.once?.('SIGINT', onInterrupt);
    try {
      return await work;
    } finally {
      this.streams.off?.('SIGINT', onInterrupt);
    }
  }
}

function readCa(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError(`${path}, the file of authorities, cannot be read: ${error}`);
  }
}

/** An address that is none is a slip of whoever typed it. */
function clientOf(options: ClientOptions): VolantClient {
  try {
    return createClient(options);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    const forms = 'write http://host:port, https://host:port, host:port or unix:/path';
    throw new UsageError(`${options.baseUrl} is no address of an API: ${forms}`);
  }
}

export function baseUrlOf(environment: Environment, option: string | undefined): string {
  const given = option ?? (environment['VOLANT_API_BASE'] || DEFAULT_BASE_URL);
  return HOST_AND_PORT.test(given) ? `http://${given}` : given;
}

/** Makes shells for commands. */
export class ShellMaker {
  readonly streams: Streams;
  readonly environment: Environment;

  constructor(streams: Streams, environment: Environment) {
    this.streams = streams;
    this.environment = environment;
  }

  for(command: Command): Shell {
    return new Shell(this.streams, this.environment, command.optsWithGlobals());
  }

  /** An action in the form that commander calls. */
  action<Options = unknown>(run: Run<Options>): (...given: unknown[]) => Promise<void> {
    return async (...given) => {
      const command = given.at(-1) as Command;
      await run(this.for(command), command.args, command.opts() as Options);
    };
  }
}
