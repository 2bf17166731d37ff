// cli, commands: `exec` and `shell`: a program in a VM at this terminal. Its status becomes that of volar.

import { type Command, Option } from 'commander';
import { ApiError } from '../../client/errors.ts';
import type { CreateExec } from '../../client/types.ts';
import { collect, parseDurationMs, parsePairs } from '../arguments.ts';
import type { TerminalFlags } from '../exec/attach.ts';
import type { Shell } from '../shell.ts';
import type { ShellMaker } from '../shell-maker.ts';

interface ExecFlags {
  readonly interactive?: true;
  readonly tty?: true;
  readonly detach?: true;
  readonly env?: readonly string[];
  readonly workdir?: string;
  readonly user?: string;
  readonly timeout?: number;
}

type ShellFlags = Pick<ExecFlags, 'env' | 'workdir' | 'user'>;

/** Shells that are tried one after the other; as login shells they read the profile of the guest. */
const SHELLS = [
  ['/bin/bash', '-l'],
  ['/bin/sh', '-l'],
  ['/bin/ash', '-l'],
  ['/bin/busybox', 'sh', '-l'],
];

/** Status of a program that does not exist, by EXEC_NOT_STARTED. */
const NOT_FOUND_STATUS = '127';

export function addExec(program: Command, shells: ShellMaker): void {
  const exec = program
    .command('exec')
    .description('run a program in a VM; its exit status becomes that of volar')
    .argument('<vm>', 'name')
    .argument('<program...>', 'the program and its arguments, after --')
    .option('-i, --interactive', 'standard input goes to the program')
    .option('-t, --tty', 'it gets a terminal of the size of this one; implies -i')
    .addOption(
      new Option(
        '-d, --detach',
        'print the id of the exec and leave the program running',
      ).conflicts(['interactive', 'tty']),
    )
    .option('--timeout <duration>', 'end the program after this time', parseDurationMs);
  addPlaceOptions(exec).action(
    shells.socketAction<ExecFlags>(async (shell, [vmName = '', ...argv], flags) => {
      const request = { ...requestOf(flags), argv };
      if (flags.detach !== true) return attach(shell, vmName, request, flags);
      const created = await shell.client.execs.create(vmName, request);
      shell.say(created, created.id);
    }),
  );
  const shell = program
    .command('shell')
    .description('open a shell in a VM')
    .argument('<vm>', 'name');
  addPlaceOptions(shell).action(
    shells.socketAction<ShellFlags>(async (given, [vmName = ''], flags) =>
      openShell(given, vmName, flags),
    ),
  );
}

function addPlaceOptions(command: Command): Command {
  return command
    .option('-e, --env <name=value>', 'set a variable; may be repeated', collect)
    .option('-w, --workdir <path>', 'working directory; / by default')
    .option('-u, --user <user[:group]>', 'name or number; root by default');
}

function requestOf({ env, workdir, user, timeout }: ExecFlags): CreateExec {
  return {
    ...(env === undefined ? {} : { env: { ...parsePairs(env) } }),
    ...(workdir === undefined ? {} : { workdir }),
    ...(user === undefined ? {} : { user }),
    ...(timeout === undefined ? {} : { timeout_ms: timeout }),
  };
}

async function openShell(shell: Shell, vmName: string, flags: ShellFlags): Promise<void> {
  for (const [at, argv] of SHELLS.entries()) {
    try {
      return await attach(shell, vmName, { ...requestOf(flags), argv }, { tty: true });
    } catch (error) {
      const isMissing =
        error instanceof ApiError &&
        error.code === 'EXEC_NOT_STARTED' &&
        error.details['exit_code'] === NOT_FOUND_STATUS;
      if (!isMissing || at === SHELLS.length - 1) throw error;
    }
  }
}

async function attach(
  shell: Shell,
  vmName: string,
  request: CreateExec,
  flags: TerminalFlags,
): Promise<void> {
  // Loaded on use: help does not need it.
  const { endAs, startSession } = await import('../exec/attach.ts');
  const session = await startSession(shell, vmName, request, flags);
  let interrupts = 0;
  const instead = () => {
    interrupts += 1;
    // The first Ctrl-C is for the program; one that does not end by it is left running by the second.
    return interrupts === 1 && session.kill('SIGINT');
  };
  const exec = await shell.interrupts.during({ instead }, session.run());
  endAs(shell, exec, `Exec ${exec.id} was lost: the VM has ended`);
}
