// cli: what every command uses: the client, printing, progress. There is one shell for each run of volar, created when the
// options are known. This file is loaded only when a command runs, not for help.

import { readFileSync } from 'node:fs';
import { baseUrlOf } from '../client/base-url.ts';
import { type ClientOptions, createClient, type VolantClient } from '../client/client.ts';
import type { WebSocketConstructor } from '../client/sockets.ts';
import { type Failure, renderFailure, UsageError } from './exit.ts';
import { Interrupts, type Leaves } from './interrupt.ts';
import { withProgress } from './terminal/progress.ts';
import type { Environment, Streams } from './terminal/streams.ts';
import { type Column, type Facts, renderFacts, renderTable } from './terminal/table.ts';

export interface GlobalOptions {
  readonly api?: string;
  readonly ca?: string;
  readonly json?: true;
}

/** Commands that show the progress of an operation. */
const ASK = {
  VM: 'volar vms why',
  Deployment: 'volar deployments rollout status',
  Plugin: 'volar plugins show',
  Image: 'volar images list',
} as const;

/** The object of a command. */
export interface Subject {
  readonly kind: keyof typeof ASK;
  readonly name: string;
}

export class Shell {
  readonly streams: Streams;
  readonly baseUrl: string;
  readonly client: VolantClient;
  /** true: JSON for programs instead of tables and sentences. */
  readonly json: boolean;
  readonly interrupts: Interrupts;

  /** `WebSocket` is set for commands that need one. */
  constructor(
    streams: Streams,
    environment: Environment,
    options: GlobalOptions,
    WebSocket?: WebSocketConstructor,
  ) {
    this.streams = streams;
    this.json = options.json === true;
    this.interrupts = new Interrupts(streams, (failure) => this.printFailure(failure));
    this.baseUrl = baseUrlOf(environment, options.api);
    const apiKey = environment['VOLANT_API_KEY'];
    const caFile = options.ca ?? environment['VOLANT_CA_FILE'];
    this.client = clientOf({
      strict: true,
      baseUrl: this.baseUrl,
      ...(WebSocket === undefined ? {} : { WebSocket }),
      ...(apiKey ? { apiKey } : {}),
      ...(caFile ? { ca: readCa(caFile) } : {}),
    });
  }

  /** Prints a line of the result. */
  print(line: string): void {
    this.streams.stdout.write(`${line}\n`);
  }

  /** Prints a line that is not part of the result. */
  note(line: string): void {
    this.streams.stderr.write(`${line}\n`);
  }

  /** Prints the failure for one of several names. */
  printFailure(failure: Failure): void {
    if (failure.silent !== true) this.streams.stderr.write(renderFailure(failure, this.json));
  }

  printJson(value: unknown): void {
    this.print(JSON.stringify(value, null, 2));
  }

  /** Prints the value for programs, the sentence for people. */
  say(value: unknown, sentence: string): void {
    for (const warning of warningsIn(value)) this.note(`Warning: ${warning}`);
    if (this.json) this.printJson(value);
    else this.print(sentence);
  }

  /** Prints one object: all of it for programs, one fact on each line for people. */
  printFacts(value: unknown, facts: Facts): void {
    if (this.json) this.printJson(value);
    else for (const line of renderFacts(facts)) this.print(line);
  }

  /** Prints a list for programs, a table for people; `none` is printed if there are no rows. */
  printRows<T>(rows: readonly T[], columns: readonly Column<T>[], none: string): void {
    if (this.json) this.printJson(rows);
    else if (rows.length === 0) this.note(none);
    else {
      const { columns: width } = this.streams.stdout;
      for (const line of renderTable(rows, columns, width)) this.print(line);
    }
  }

  /**
   * Waits for `work`, and shows progress on a terminal; `leaves` describes what is left if Ctrl-C ends the command, `detail`
   * how far the work is.
   */
  progress<T>(
    what: string,
    work: Promise<T>,
    leaves: Leaves = {},
    detail?: () => string,
  ): Promise<T> {
    const shown = withProgress(this.streams.stderr, what, work, undefined, detail);
    return this.interrupts.during(leaves, shown);
  }

  /** Like progress(), for work that may wait for images of a VM or deployment: their download is shown, too. */
  progressOf<T>({ kind, name }: Subject, what: string, work: Promise<T>): Promise<T> {
    const { events } = this.client;
    const shown = withProgress(this.streams.stderr, what, work, { events, name });
    const ask = kind === 'Image' ? ASK[kind] : `${ASK[kind]} ${name}`;
    return this.interrupts.during({ ask }, shown);
  }
}

/** Warnings in an answer of the daemon. */
function warningsIn(value: unknown): readonly string[] {
  const { warnings } = (value ?? {}) as { readonly warnings?: unknown };
  return Array.isArray(warnings) ? warnings : [];
}

function readCa(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError(`${path}, the file of authorities, cannot be read: ${error}`);
  }
}

/** An invalid address is an error in the command line. */
function clientOf(options: ClientOptions): VolantClient {
  try {
    return createClient(options);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    const forms = 'write http://host:port, https://host:port, host:port or unix:/path';
    throw new UsageError(`${options.baseUrl} is not an address of an API: ${forms}`);
  }
}
