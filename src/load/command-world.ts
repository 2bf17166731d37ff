// load: what the commands of volant-load share: what they may use of their process, the daemon that they speak with, and numbers
// on the command line.

import { readFileSync } from 'node:fs';
import { type Command, InvalidArgumentError } from 'commander';
import { baseUrlOf } from '../client/base-url.ts';
import { resolveEndpoint } from '../client/transport.ts';
import { UsageError } from './exit-status.ts';
import type { OutputStream } from './output.ts';
import type { Target } from './run/target.ts';

/** What a command may use of its process. */
export interface CommandWorld {
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Aborts at the first Ctrl-C. */
  readonly signal: AbortSignal;
  /** Receives the label of the run that a second Ctrl-C would leave behind. */
  readonly onLabel: (label: string) => void;
}

export interface TargetFlags {
  readonly api?: string;
  readonly ca?: string;
}

export function withTarget(command: Command): Command {
  return command
    .option('-a, --api <url>', 'the API: http://host:port, https://host:port or unix:/path')
    .option('--ca <file>', 'PEM file of the authorities that signed an HTTPS server');
}

/** Throws UsageError for an address or a file that cannot be used. */
export function targetOf({ environment }: CommandWorld, { api, ca }: TargetFlags): Target {
  const url = baseUrlOf(environment, api);
  const caFile = ca ?? environment['VOLANT_CA_FILE'];
  try {
    resolveEndpoint(url);
    return {
      url,
      apiKey: environment['VOLANT_API_KEY'] || null,
      ca: caFile ? readFileSync(caFile, 'utf8') : null,
    };
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** The value of an option that is a number within these bounds. */
export function numberBetween(minimum: number, maximum: number, isWhole = false) {
  return (text: string): number => {
    const value = Number(text);
    const isRight = text.trim() !== '' && value >= minimum && value <= maximum;
    if (!isRight || (isWhole && !Number.isInteger(value))) {
      const kind = isWhole ? 'a whole number' : 'a number';
      throw new InvalidArgumentError(`It must be ${kind} from ${minimum} to ${maximum}.`);
    }
    return value;
  };
}
