// jobs: runs programs of the host to their end. Each has a deadline, a bound on its output, and an environment of its
// own, because the daemon's may contain its API key. Hypervisors and servers that outlive their job are launched by
// the addon with LAUNCH_ENVIRONMENT.

import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { errnoOf, JobFault } from './fault.ts';

/** Deadline of nft, ip and similar programs, which end at once unless the kernel hangs. */
const TIMEOUT_MS = 10_000;
/** The largest output is a list of tables: about 150 bytes for each guest and 600 for each published port. */
const OUTPUT_BYTES_MAX = 256 * 1024 ** 2;
/** Output that is kept for a message. */
const MESSAGE_CHARACTERS_MAX = 512;

const DIRECTORIES = '/usr/sbin:/usr/bin:/sbin:/bin';
const LANGUAGE = 'C.UTF-8';

/** The environment in the form of execve(2). */
export const LAUNCH_ENVIRONMENT: readonly string[] = [`PATH=${DIRECTORIES}`, `LANG=${LANGUAGE}`];

/** The environment of programs. It searches the daemon's PATH first, then root's directories, which it may lack. */
function programEnvironment(): NodeJS.ProcessEnv {
  const path = process.env['PATH'];
  return { PATH: path ? `${path}:${DIRECTORIES}` : DIRECTORIES, LANG: LANGUAGE };
}

interface ProgramOptions {
  readonly timeoutMs?: number;
  /** Its standard input; default: empty. */
  readonly input?: string;
}

/**
 * Runs a program, and kills it at its deadline (`error.code` is ETIMEDOUT). Blocks. Errors are in the result; nothing
 * is thrown.
 */
export function spawnProgram(
  program: string,
  args: readonly string[],
  { timeoutMs = TIMEOUT_MS, input = '' }: ProgramOptions = {},
): SpawnSyncReturns<string> {
  return spawnSync(program, args, {
    input,
    encoding: 'utf8',
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    maxBuffer: OUTPUT_BYTES_MAX,
    env: programEnvironment(),
  });
}

/** The parts of the message about a failure. */
export interface FailureWords {
  /** The beginning of the client's message: "Tables cannot be read". */
  readonly what: string;
  /** The Debian package of the program. */
  readonly packageName: string;
}

/**
 * Runs a program and returns its output. Throws HOST_OPERATION_FAILED when it is not installed, exceeds its deadline
 * or ends with a status other than 0. Its standard error is for the log.
 */
export function runProgram(
  program: string,
  args: readonly string[],
  { what, packageName }: FailureWords,
  options?: ProgramOptions,
): string {
  const { error, status, signal, stdout, stderr } = spawnProgram(program, args, options);
  if (error === undefined && status === 0) return stdout;
  const remedy = errnoOf(error) === 'ENOENT' ? `install the package ${packageName}` : 'see the log';
  const said = error?.message ?? `${program} ended with ${signal ?? `status ${status}`}`;
  const cause = new Error(`${said}: ${stderr ?? ''}`);
  throw new JobFault('HOST_OPERATION_FAILED', `${what}: ${remedy}`, cause);
}

export interface Ended {
  /** null: it was abandoned at its deadline. */
  readonly status: number | null;
  readonly printed: string;
  /** Its standard error. */
  readonly said: string;
}

/**
 * Runs a program that the kernel may hold uninterruptibly. At its deadline it is abandoned, and it ends when the
 * kernel releases it. Rejects with the system's error when it cannot be started; status 127 when it is not installed.
 */
export function runOrLeave(
  program: string,
  args: readonly string[],
  timeoutMs: number,
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: programEnvironment(),
    });
    let printed = '';
    let said = '';
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      child.unref();
      child.stdout.destroy();
      child.stderr.destroy();
      resolve({ status: null, printed, said });
    }, timeoutMs);
    child.stdout.on('data', (chunk) => {
      printed = (printed + chunk).slice(0, MESSAGE_CHARACTERS_MAX);
    });
    child.stderr.on('data', (chunk) => {
      said = (said + chunk).slice(0, MESSAGE_CHARACTERS_MAX);
    });
    child.once('error', (error) => {
      clearTimeout(timer);
      if (errnoOf(error) !== 'ENOENT') reject(error);
      else resolve({ status: 127, printed, said: `${program}: not installed` });
    });
    child.once('close', (status, signal) => {
      clearTimeout(timer);
      resolve({ status: status ?? 128, printed, said: said || String(signal ?? '') });
    });
  });
}

/**
 * Arguments of setpriv(1): the kernel kills a program that takes long together with the thread that has started it
 * (PR_SET_PDEATHSIG), so that none is left when the daemon ends in the middle.
 */
function withThread(program: string, args: readonly string[]): string[] {
  return ['--pdeathsig', 'KILL', '--', program, ...args];
}

interface WatchedOptions {
  /** Kills the program. The caller has a deadline in it. */
  readonly signal: AbortSignal;
  /** In addition to that of every program. */
  readonly environment?: Readonly<Record<string, string>>;
  /** A program that prints more is killed. */
  readonly outputBytesMax?: number;
}

/**
 * Runs a program that may take long, without blocking the thread. Rejects with the signal's reason after the program
 * was killed and has ended. Status 127: it is not installed.
 */
export function runToEnd(
  program: string,
  args: readonly string[],
  { signal, environment = {}, outputBytesMax = MESSAGE_CHARACTERS_MAX }: WatchedOptions,
): Promise<Ended> {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const child = spawn('setpriv', withThread(program, args), {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...programEnvironment(), ...environment },
    });
    const pieces: Buffer[] = [];
    let bytes = 0;
    let said = '';
    const kill = () => child.kill('SIGKILL');
    signal.addEventListener('abort', kill, { once: true });
    child.stdout.on('data', (piece: Buffer) => {
      bytes += piece.length;
      if (bytes > outputBytesMax) kill();
      else pieces.push(piece);
    });
    // The reason is what a program says last.
    child.stderr.on('data', (piece) => {
      said = (said + piece).slice(-4 * MESSAGE_CHARACTERS_MAX);
    });
    child.once('error', (error) => {
      signal.removeEventListener('abort', kill);
      if (errnoOf(error) !== 'ENOENT') reject(error);
      else resolve({ status: 127, printed: '', said: `${program}: not installed` });
    });
    child.once('close', (status, killedBy) => {
      signal.removeEventListener('abort', kill);
      if (signal.aborted) reject(signal.reason);
      else {
        const printed = Buffer.concat(pieces).toString('utf8');
        resolve({ status: status ?? 128, printed, said: said || String(killedBy ?? '') });
      }
    });
  });
}

/**
 * Sends a stream through a program, and what it prints to `output`, whose end is the caller's. Resolves with its exit
 * status when both streams have ended; 127: it is not installed. Rejects with the error of a stream, or when the signal
 * has killed the program.
 */
export async function runFilter(
  program: string,
  args: readonly string[],
  {
    input,
    output,
    signal,
  }: { input: AsyncIterable<Uint8Array>; output: Writable; signal: AbortSignal },
): Promise<number> {
  signal.throwIfAborted();
  const child = spawn('setpriv', withThread(program, args), {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: programEnvironment(),
    signal,
    killSignal: 'SIGKILL',
  });
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', (error) => {
      if (errnoOf(error) === 'ENOENT') resolve(127);
      else reject(error);
    });
    child.once('close', (status) => resolve(status ?? 128));
  });
  const flows = [
    pipeline(input, child.stdin, { signal }),
    pipeline(child.stdout, output, { signal, end: false }),
  ];
  const [status, ...results] = await Promise.allSettled([ended, ...flows]);
  if (status?.status === 'rejected') throw status.reason;
  const code = Number(status?.value);
  const failed = results.find((result) => result.status === 'rejected');
  // A program that fails closes its input, which is no error of its own.
  if (failed?.status === 'rejected' && code === 0) throw failed.reason;
  return code;
}
