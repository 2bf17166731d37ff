// store: whether a state can be read, found out before the daemon maps it. A process that touches a page that is not
// there, or that follows a wrong number, is ended by a signal; so another process does it first.

import { spawnSync } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { LIMITS } from '../config.ts';
import { dataFileOf } from './env.ts';

const PROGRAM = fileURLToPath(new URL('./integrity-program.js', import.meta.url));

/** `absent`: nothing was ever written here. `why` is the end of a sentence. */
export type StateCondition =
  | { readonly kind: 'absent' | 'whole' }
  | { readonly kind: 'damaged'; readonly why: string };

/**
 * Reads every record in a process of its own. Blocks, and is for starts only. Throws what the system says about a
 * directory that may not be read or a process that cannot be started.
 */
export function checkState(
  directory: string,
  timeoutMs: number = LIMITS.stateCheckTimeoutMs,
): StateCondition {
  const file = dataFileOf(directory);
  const facts = statSync(file, { throwIfNoEntry: false });
  // LMDB fills an empty file as it makes a new one.
  if (facts === undefined || facts.size === 0) return { kind: 'absent' };
  accessSync(file, constants.R_OK | constants.W_OK);
  const { status, signal, stdout, error } = spawnSync(process.execPath, [PROGRAM, directory], {
    cwd: '/',
    // Nothing of the daemon's environment, which may hold its API key.
    env: {},
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  });
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (code === 'ETIMEDOUT') return damaged(`reading it does not end within ${timeoutMs} ms`);
  if (error !== undefined) throw error;
  // Not by a fault of the file: by the kernel, for want of memory, or by a person.
  if (signal === 'SIGKILL' || signal === 'SIGTERM') {
    throw new Error(`the check of the state in ${directory} was ended by ${signal}`);
  }
  if (signal !== null) return damaged(`reading it ends with ${signal}`);
  if (status !== 0) return damaged(`reading it ends with status ${status}`);
  const problem: string | null = JSON.parse(stdout);
  return problem === null ? { kind: 'whole' } : damaged(problem);
}

function damaged(why: string): StateCondition {
  return { kind: 'damaged', why };
}
