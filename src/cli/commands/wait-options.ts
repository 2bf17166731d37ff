// cli, commands: the options of operations that may be waited for.

import { type Command, Option } from 'commander';
import type { WaitFor, WaitOptions } from '../../client/types.ts';
import { parseDurationMs } from '../arguments.ts';

export interface WaitFlags {
  readonly wait?: WaitFor;
  readonly timeout?: number;
}

export function addWaitOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--wait <stage>', 'answer when the VM is as far as this').choices([
        'accepted',
        'running',
        'ready',
      ]),
    )
    .option(
      '--timeout <duration>',
      'wait no longer; the operation continues in the background',
      parseDurationMs,
    );
}

export function toWaitOptions({ wait, timeout }: WaitFlags): WaitOptions {
  return {
    ...(wait === undefined ? {} : { wait }),
    ...(timeout === undefined ? {} : { waitTimeoutMs: timeout }),
  };
}
