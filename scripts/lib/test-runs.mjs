// scripts: runs test files and counts them: in Node's own runner, in network namespaces, in the lab. What is run and
// what it comes to is test.mjs's business.

import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { capture, findCommand } from './command.mjs';
import { findBusybox } from './debian.mjs';
import { LAB_LOST, labProblem, runInLab } from './lab.mjs';
import { PROJECT_ROOT } from './paths.mjs';

const FILE_TIMEOUT_MS = 600_000;
// biome-ignore lint/suspicious/noControlCharactersInRegex: it is the escape of a terminal's colours
const COLOURS = /\x1b\[\d+m/g;
const COUNT = /^ℹ (pass|fail|cancelled|skipped) (\d+)$/;

const NOTHING = Object.freeze({ passed: 0, failed: 0, skipped: 0 });

/** Set by the first SIGINT or SIGTERM: what runs is ended, and nothing new is begun. */
let interrupted = false;

/** A signal came: begin nothing. */
export const isInterrupted = () => interrupted;

/** Ends what runs by `kill` when a signal comes. Returns the function that ends the watch. */
export function endWhenInterrupted(kill) {
  const onSignal = () => {
    interrupted = true;
    kill();
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  return () => process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
}

export const writeOut = (text) => process.stdout.write(text);

export function sum(counts) {
  const total = { ...NOTHING };
  for (const one of counts) for (const key of Object.keys(total)) total[key] += one[key];
  return total;
}

/** Adds up the counts that Node's own runner prints at its end. */
function newCounter() {
  const counts = { pass: 0, fail: 0, cancelled: 0, skipped: 0 };
  return {
    take(line) {
      const match = COUNT.exec(line.replace(COLOURS, ''));
      if (match !== null) counts[match[1]] += Number(match[2]);
    },
    result: (status) => ({
      passed: counts.pass,
      // A file that could not even be loaded, and a runner that was killed, are failures too.
      failed: Math.max(counts.fail + counts.cancelled, status === 0 ? 0 : 1),
      skipped: counts.skipped,
    }),
  };
}

/** Runs test files and resolves with their counts. Whatever they leave in their process group is killed. */
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
 * Runs files, so many at a time, each with a network of its own: what one does to its host the others do not see. A
 * file that is done makes room for the next. What each says comes in one piece.
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

/** Runs a file inside a network namespace of its own, which is removed afterwards. */
async function runInNamespace(file, options) {
  const [ip, nsenter] = [findCommand('ip'), findCommand('nsenter')];
  if (process.getuid() !== 0 || ip === null || nsenter === null) {
    // Without a namespace the tests say themselves what they lack.
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
 * Runs files inside an emulated machine with KVM and an IOMMU, each in one of its own: what one leaves behind is nothing
 * to the next. Without such a machine they say what they lack. `kernel` is what setup's guestKernel() says.
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
    if (first.status === LAB_LOST) writeOut('The lab was lost, not a test: once more.\n');
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
