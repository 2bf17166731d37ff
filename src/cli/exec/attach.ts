// cli, exec: a program in a guest at this terminal: its start, and what its end means for the end of volar. What happens between
// the two is in exec-session.ts.

import { constants } from 'node:os';
import type { CreateExec, Exec } from '../../client/types.ts';
import { PrintedFailure, ProgramStatus } from '../exit.ts';
import type { Shell } from '../shell.ts';
import { ExecSession } from './exec-session.ts';

/** As shells count a program that a signal has ended. */
const SIGNAL_STATUS = 128;

export interface TerminalFlags {
  /** Standard input of volar goes to the program. */
  readonly interactive?: boolean;
  /** It gets a terminal of the size of this one; implies interactive. */
  readonly tty?: boolean;
}

/** Starts a program. The caller runs the session. Throws ApiError with EXEC_NOT_STARTED for one that cannot be executed. */
export async function startSession(
  shell: Shell,
  vmName: string,
  request: CreateExec,
  { interactive = false, tty = false }: TerminalFlags,
): Promise<ExecSession> {
  const { rows, columns } = shell.streams.stdout;
  const takesInput = interactive || tty;
  const exec = await shell.client.execs.create(vmName, {
    ...request,
    ...(takesInput ? { stdin_open: true } : {}),
    ...(tty ? { tty } : {}),
    ...(tty && rows && columns ? { rows, columns } : {}),
  });
  return new ExecSession(shell, { vmName, exec, interactive: takesInput });
}

/**
 * Ends volar as the program has ended: throws ProgramStatus unless its status is 0. `whyLost` is the sentence for a program whose
 * guest has ended.
 */
export function endAs(
  shell: Shell,
  { state, exit_code: code, signal, timed_out: timedOut }: Exec,
  whyLost: string,
): void {
  if (state === 'lost') {
    shell.note(`volar: ${whyLost}`);
    throw new PrintedFailure(whyLost);
  }
  if (timedOut) shell.note('volar: the program was ended at its timeout');
  const status = code ?? statusOfSignal(signal ?? '');
  if (status !== 0) throw new ProgramStatus(status);
}

/** The exit status of a shell for a signal, given by its name or number. */
export function statusOfSignal(signal: string): number {
  const numbers: Readonly<Record<string, number>> = constants.signals;
  return SIGNAL_STATUS + (numbers[signal] ?? Number(signal));
}
