// cli, commands: the options of operations that can be waited for.

import { type Command, Option } from 'commander';
import type { VmWaitFor, WaitFor, WaitOptions } from '../../client/types.ts';
import { parseDurationMs } from '../arguments.ts';

export interface WaitFlags<Goal extends VmWaitFor = WaitFor> {
  readonly wait?: Goal;
  readonly timeout?: number;
}

const GOALS: readonly WaitFor[] = ['accepted', 'running', 'ready'];

export function addWaitOptions(command: Command): Command {
  return addOptions(command, GOALS);
}

/** As addWaitOptions, for commands about one VM. */
export function addVmWaitOptions(command: Command): Command {
  return addOptions(command, [...GOALS, 'exited']);
}

function addOptions(command: Command, goals: readonly VmWaitFor[]): Command {
  return command
    .addOption(new Option('--wait <stage>', 'the state of the VM to wait for').choices(goals))
    .option(
      '--timeout <duration>',
      'maximum wait; the operation continues in the background',
      parseDurationMs,
    );
}

export function toWaitOptions<Goal extends VmWaitFor>({
  wait,
  timeout,
}: WaitFlags<Goal>): WaitOptions<Goal> {
  return {
    ...(wait === undefined ? {} : { wait }),
    ...(timeout === undefined ? {} : { waitTimeoutMs: timeout }),
  };
}
