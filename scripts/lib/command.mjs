// scripts: runs other programs. A failure becomes one sentence and the stderr tail of the program; the caller knows the
// remedy.

import { spawn, spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

const OUTPUT_BYTES_MAX = 1024 * 1024 * 1024;
const ERROR_LINES_MAX = 15;

/** A failure that the user can fix: printed without a stack trace. */
export class Failure extends Error {
  name = 'Failure';
}

/** Absolute path of a command, or null. Searches the sbin directories, too, which a user's PATH may lack. */
export function findCommand(name) {
  const path = `${process.env.PATH ?? ''}${delimiter}/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin`;
  for (const directory of path.split(delimiter).filter((item) => item !== '')) {
    const file = join(directory, name);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch (error) {
      if (!['ENOENT', 'ENOTDIR', 'EACCES'].includes(error.code)) throw error;
    }
  }
  return null;
}

/** Runs a command and returns its standard output as bytes. Throws a Failure. */
export function capture(file, args, options = {}) {
  const result = spawnSync(file, args, { maxBuffer: OUTPUT_BYTES_MAX, ...options });
  if (result.error !== undefined)
    throw new Failure(`${file} cannot be run: ${result.error.message}`);
  if (result.status !== 0)
    throw failureOf(file, args, result.status ?? result.signal, result.stderr);
  return result.stdout;
}

/** Runs a command asynchronously. Resolves with its standard output as text. Rejects with a Failure. */
export function run(file, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    const output = [];
    const both = [];
    child.stdout?.on('data', (chunk) => {
      output.push(chunk);
      both.push(chunk);
    });
    child.stderr?.on('data', (chunk) => both.push(chunk));
    child.on('error', (error) => reject(new Failure(`${file} cannot be run: ${error.message}`)));
    child.on('close', (status, signal) => {
      if (status === 0) resolve(Buffer.concat(output).toString());
      else reject(failureOf(file, args, status ?? signal, Buffer.concat(both)));
    });
  });
}

function failureOf(file, args, how, output) {
  const lines = output.toString().trimEnd().split('\n').slice(-ERROR_LINES_MAX);
  const command = [file, ...args].join(' ').slice(0, 200);
  return new Failure(`\`${command}\` failed (${how}):\n  ${lines.join('\n  ')}`);
}

/**
 * Runs the main function of a script. A Failure is printed as a sentence, any other error with its stack. `--help` prints
 * `usage`, and nothing is run. With `allowed` any other argument is a Failure.
 */
export async function runMain(main, { usage, allowed } = {}) {
  // A reader such as `head` may close the output early; this is not a failure.
  process.stdout.on('error', (error) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit();
  });
  try {
    const args = process.argv.slice(2);
    if (usage !== undefined && args.includes('--help')) {
      process.stdout.write(`${usage}\n`);
      return;
    }
    if (allowed !== undefined && args.some((argument) => !allowed.includes(argument))) {
      throw new Failure(usage);
    }
    await main();
  } catch (error) {
    const text = error instanceof Failure ? error.message : error.stack;
    process.stderr.write(`\n${text}\n`);
    process.exitCode = 1;
  }
}
