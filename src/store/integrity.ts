// store: checks a state: before the daemon maps it, its pages and the tables that a start reads completely; later, in
// a child process, all records. A wrong page number would kill the process that follows it, so pages are read without
// LMDB.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, statSync } from 'node:fs';
import { setPriority } from 'node:os';
import { text } from 'node:stream/consumers';
import { LIMITS } from '../config/limits.ts';
import { programFile } from '../lib/files/own-files.ts';
import { dataFileOf, openEnvToRead } from './env.ts';
import { problemInPages } from './pages.ts';
import { type OnRecord, problemInRecords } from './whole-records.ts';

const PROGRAM = programFile('store/integrity-program.js');

/** Nothing waits for this check. */
const LOWEST_PRIORITY = 19;

/** Tables with many large records, of which a start needs few. They are checked later. */
const LARGE_TABLES = ['vms', 'configs', 'operations', 'results', 'events'];

/** `absent`: nothing was ever written here. `why` is the end of a sentence. */
export type StateCondition =
  | { readonly kind: 'absent' | 'whole' }
  | { readonly kind: 'damaged'; readonly why: string };

/**
 * Reads every page, and every record of the tables that a start reads as a whole, which `onRecord` gets. Blocks, and is for
 * starts only. Throws what the system says about a directory that may not be read.
 */
export async function checkState(directory: string, onRecord?: OnRecord): Promise<StateCondition> {
  const file = dataFileOf(directory);
  const facts = statSync(file, { throwIfNoEntry: false });
  // LMDB treats an empty file like a new one.
  if (facts === undefined || facts.size === 0) return { kind: 'absent' };
  accessSync(file, constants.R_OK | constants.W_OK);
  const problem = problemInPages(file) ?? (await problemInNeededTables(directory, onRecord));
  return problem === null ? { kind: 'whole' } : { kind: 'damaged', why: problem };
}

/**
 * Reads every record in a child process with low priority. After the signal the result is `whole`. Rejects when the
 * process cannot be started or was killed.
 */
export async function checkRecords(
  directory: string,
  signal: AbortSignal,
  timeoutMs: number = LIMITS.stateCheckTimeoutMs,
): Promise<StateCondition> {
  const child = spawn(process.execPath, [PROGRAM, directory], {
    cwd: '/',
    // Without the daemon's environment, which may contain its API key.
    env: {},
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const end = () => void child.kill('SIGKILL');
  const timer = setTimeout(end, timeoutMs);
  signal.addEventListener('abort', end);
  try {
    return await conditionFrom(child, signal);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', end);
  }
}

async function conditionFrom(child: ChildProcess, signal: AbortSignal): Promise<StateCondition> {
  if (child.stdout === null) throw new Error('the check of the records has no output');
  const printed = text(child.stdout);
  const exited = once(child, 'exit');
  if (child.pid !== undefined) setPriority(child.pid, LOWEST_PRIORITY);
  const [[status, endedBy], answer] = await Promise.all([exited, printed]);
  if (signal.aborted) return { kind: 'whole' };
  // It was killed for lack of memory or time, or by a person.
  if (endedBy === 'SIGKILL' || endedBy === 'SIGTERM') {
    throw new Error(`the check of the records was ended by ${endedBy}`);
  }
  if (endedBy !== null) return damaged(`reading it ends with ${endedBy}`);
  if (status !== 0) return damaged(`reading it ends with status ${status}`);
  const problem: string | null = JSON.parse(answer);
  return problem === null ? { kind: 'whole' } : damaged(problem);
}

async function problemInNeededTables(
  directory: string,
  onRecord: OnRecord | undefined,
): Promise<string | null> {
  try {
    const env = openEnvToRead(directory);
    try {
      const names = env.tableNames().filter((name) => !LARGE_TABLES.includes(name));
      return problemInRecords(env, names, onRecord);
    } finally {
      await env.close();
    }
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function damaged(why: string): StateCondition {
  return { kind: 'damaged', why };
}
