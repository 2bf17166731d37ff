// scripts: runs test files and counts results: in Node's test runner, in network namespaces, in the lab. test.mjs selects
// the files and reports the result.

import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { capture, findCommand } from '../command.mjs';
import { PROJECT_ROOT } from '../paths.mjs';
import { findBusybox } from '../systems/debian.mjs';
import { LAB_LOST, labProblem, runInLab } from '../systems/lab.mjs';
import { newCounter, sum } from './test-output.mjs';

/** It ends what hangs: the longest file needs seven minutes where emulated processors are slow and other files run beside it. */
const FILE_TIMEOUT_MS = 1_200_000;

/** Set by the first SIGINT or SIGTERM: running tests are ended, and no more are started. */
let interrupted = false;

/** True after a signal: start nothing more. */
export const isInterrupted = () => interrupted;

/** Calls `kill` when a signal arrives. Returns the function that stops watching for it. */
export function endWhenInterrupted(kill) {
  const onSignal = () => {
    interrupted = true;
    kill();
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  return () => process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
}

export const writeOut = (text) => process.stdout.write(text);

/** Runs test files. Resolves with their counts. Processes that they leave in their process group are killed. */
export function runTests(
  files,
  { prefix = [], concurrency, write = writeOut, fileTimeoutMs = FILE_TIMEOUT_MS },
) {
  const [command, ...args] = [
    ...prefix,
    process.execPath,
    '--test',
    `--test-concurrency=${concurrency}`,
    `--test-timeout=${fileTimeoutMs}`,
    '--test-reporter=spec',
    ...files,
  ];
  const counter = newCounter();
  const child = spawn(command, args, {
    cwd: PROJECT_ROOT,
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...(process.stdout.isTTY ? { FORCE_COLOR: '1' } : {}) },
  });
  const killGroup = () => killQuietly(-child.pid);
  const endWatch = endWhenInterrupted(killGroup);
  createInterface({ input: child.stdout }).on('line', (line) => {
    write(`${line}\n`);
    counter.take(line);
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', killGroup);
    child.once('close', (status) => {
      endWatch();
      resolve(counter.result(status));
    });
  });
}

function killQuietly(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

/**
 * Runs files, at most `lanesMax` at a time, each in its own network namespace, so that none sees the changes of another.
 * The output of each file is printed as one block.
 */
export async function runInNamespaces(files, lanesMax, options = {}) {
  const queue = [...files];
  const counts = [];
  const runLane = async () => {
    for (let file = queue.shift(); file !== undefined && !interrupted; file = queue.shift()) {
      let said = '';
      counts.push(
        await runInNamespace(file, {
          ...options,
          write: (text) => {
            said += text;
          },
        }),
      );
      writeOut(said);
    }
  };
  await Promise.all(Array.from({ length: lanesMax }, runLane));
  return sum(counts);
}

let namespaces = 0;

/** Runs a file in its own network namespace, which is removed afterwards. */
async function runInNamespace(file, options) {
  const [ip, nsenter] = [findCommand('ip'), findCommand('nsenter')];
  if (process.getuid() !== 0 || ip === null || nsenter === null) {
    // Without a namespace, the tests report what they lack.
    return runTests([file], { ...options, concurrency: 1 });
  }
  namespaces += 1;
  const name = `volant-test-${process.pid}-${namespaces}`;
  const netns = (...args) => spawnSync(ip, ['netns', ...args], { encoding: 'utf8' });
  capture(ip, ['netns', 'add', name]);
  try {
    capture(ip, ['-n', name, 'link', 'set', 'lo', 'up']);
    const prefix = [nsenter, `--net=/run/netns/${name}`];
    return await runTests([file], { ...options, prefix, concurrency: 1 });
  } finally {
    const leftOver = netns('pids', name).stdout.split('\n').filter(Boolean).map(Number);
    for (const pid of leftOver) killQuietly(pid);
    if (leftOver.length > 0) process.stderr.write(`killed left-over ${leftOver.join(' ')}\n`);
    netns('delete', name);
  }
}

/**
 * Runs files in the lab, each in a machine of its own, so that none sees what another left behind. Without a lab the tests
 * report what they lack. `kernel` is the result of setup's guestKernel().
 */
export async function runLabTests(files, kernel) {
  const problem = labProblem();
  if (problem !== null) {
    process.stderr.write(`${problem}\n`);
    return runTests(files, { concurrency: 1 });
  }
  const counts = [];
  for (const file of files) {
    if (interrupted) break;
    const first = await runInOneLab(file, kernel);
    if (first.status === LAB_LOST) writeOut('The lab machine was lost; the file runs once more.\n');
    counts.push((first.status === LAB_LOST ? await runInOneLab(file, kernel) : first).counts);
  }
  return sum(counts);
}

async function runInOneLab(file, kernel) {
  const counter = newCounter();
  const options = `--test --test-timeout=${FILE_TIMEOUT_MS} --test-reporter=spec`;
  const requirement = process.env.VOLANT_TEST_REQUIRE ?? '';
  let said = '';
  const status = await runInLab({
    command: `VOLANT_TEST_REQUIRE=${requirement} node ${options} ${file}`,
    kernel,
    busybox: findBusybox(),
    onLine: (line) => {
      said += `${line}\n`;
      counter.take(line);
    },
  });
  writeOut(said);
  return { status, counts: counter.result(status) };
}
