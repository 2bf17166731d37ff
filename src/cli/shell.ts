// cli: what every command has at hand: the client, the way to print, progress. One for each call of
// volar, made when the options are known.

import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { WebSocket } from 'ws';
import { createClient, DEFAULT_BASE_URL, type VolantClient } from '../client/client.ts';
import { UsageError } from './exit.ts';
import { withProgress } from './progress.ts';
import type { Environment, Streams } from './streams.ts';
import { type Column, type Facts, renderFacts, renderTable } from './table.ts';

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
    this.client = createClient({
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
    else for (const line of renderTable(rows, columns)) this.print(line);
  }

  /** Waits, and shows on a terminal that it does. */
  progress<T>(what: string, work: Promise<T>): Promise<T> {
    return withProgress(this.streams.stderr, what, work);
  }

  /** The same for what may have to wait for images of a VM or of a deployment: their progress is told. */
  progressOf<T>(name: string, what: string, work: Promise<T>): Promise<T> {
    const { events } = this.client;
    return withProgress(this.streams.stderr, what, work, { events, name });
  }
}

function readCa(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError(`${path}, the file of authorities, cannot be read: ${error}`);
  }
}

export function baseUrlOf(environment: Environment, option: string | undefined): string {
  return option ?? (environment['VOLANT_API_BASE'] || DEFAULT_BASE_URL);
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
