// test helpers: a network namespace and a home directory of its own for a whole daemon, driven by the
// same scripts that users run. Nothing of it is left afterwards.

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';

const COMMAND_TIMEOUT_MS = 300_000;

export interface CommandResult {
  readonly status: number | null;
  /** Standard output and standard error, as they came. */
  readonly output: string;
}

export interface PrivateHost {
  readonly home: string;
  /** Runs a command inside the namespace, in the checkout. */
  run(command: string, ...args: string[]): Promise<CommandResult>;
  /** Runs a script of scripts/. */
  script(name: string, ...args: string[]): Promise<CommandResult>;
  /** Pids of everything that runs inside the namespace, and of the hypervisors of its daemon. */
  processes(): number[];
}

let count = 0;

export function createPrivateHost(t: TestContext): PrivateHost {
  const namespace = `volant-e2e-${process.pid}-${count++}`;
  const home = mkdtempSync(join(tmpdir(), 'volant-home-'));
  const ip = (...args: string[]) => execFileSync('ip', args, { encoding: 'utf8' });
  const processes = () => {
    const inNetwork = ip('netns', 'pids', namespace).split('\n').filter(Boolean).map(Number);
    return [...new Set([...inNetwork, ...hypervisorsOf(home)])];
  };
  ip('netns', 'add', namespace);
  t.after(() => {
    for (const pid of processes()) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch (error) {
        // It has ended by itself since the list was read.
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
    }
    ip('netns', 'delete', namespace);
    rmSync(home, { recursive: true, force: true });
  });
  ip('-n', namespace, 'link', 'set', 'lo', 'up');

  const run = (command: string, ...args: string[]) =>
    new Promise<CommandResult>((resolve, reject) => {
      const child = spawn('nsenter', [`--net=/run/netns/${namespace}`, command, ...args], {
        cwd: PROJECT_ROOT,
        env: environmentFor(home),
        timeout: COMMAND_TIMEOUT_MS,
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let output = '';
      child.stdout.on('data', (chunk) => {
        output += chunk;
      });
      child.stderr.on('data', (chunk) => {
        output += chunk;
      });
      child.once('error', reject);
      child.once('close', (status) => resolve({ status, output }));
    });
  const script = (name: string, ...args: string[]) =>
    run(process.execPath, join(PROJECT_ROOT, 'scripts', name), ...args);
  return { home, run, script, processes };
}

/** They are in a network of their own, and known by the run directory that their arguments name. */
function hypervisorsOf(home: string): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => {
    try {
      const arguments_ = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      return arguments_.some((argument) => argument.includes(`${home}/run/`));
    } catch (error) {
      if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
      throw error;
    }
  });
}

/** The settings of whoever runs the tests must not reach the daemon. */
function environmentFor(home: string): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('VOLANT_'));
  return { ...Object.fromEntries(own), VOLANT_HOME: home };
}
