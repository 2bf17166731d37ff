// test helpers: volar as a real process.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';

const VOLAR = join(PROJECT_ROOT, '.build/src/cli/main.js');

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly ended: Promise<Ended>;
  /** Resolves when standard output has a match. */
  printed(pattern: RegExp): Promise<void>;
  write(text: string): void;
  endInput(): void;
  /** Nobody reads its standard output any more. */
  closeOutput(): void;
  kill(signal: NodeJS.Signals): void;
}

/** Starts volar; standard input stays open until the test ends. The tester's own settings do not reach it. */
export function startVolar(
  t: TestContext,
  words: readonly string[],
  settings: Record<string, string> = {},
): Running {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('VOLANT_'));
  const env = { ...Object.fromEntries(own), ...settings };
  const child = spawn(process.execPath, [VOLAR, ...words], { env });
  t.after(() => void child.kill('SIGKILL'));
  let stdout = '';
  let stderr = '';
  const waiting = new Set<() => void>();
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
    for (const look of waiting) look();
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  // It may have ended before all was written to it.
  child.stdin.on('error', () => undefined);
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => resolve({ status, stdout, stderr }));
  });
  const printed = (pattern: RegExp) =>
    new Promise<void>((resolve, reject) => {
      const look = () => {
        if (!pattern.test(stdout)) return;
        waiting.delete(look);
        resolve();
      };
      waiting.add(look);
      look();
      void ended.then(() => reject(new Error(`ended without ${pattern}: ${stdout}${stderr}`)));
    });
  return {
    ended,
    printed,
    write: (text) => void child.stdin.write(text),
    endInput: () => void child.stdin.end(),
    closeOutput: () => void child.stdout.destroy(),
    kill: (signal) => void child.kill(signal),
  };
}

/** Runs volar against an API until it ends; its standard input is a text. */
export function volar(
  t: TestContext,
  api: string,
  words: readonly string[],
  input = '',
): Promise<Ended> {
  const running = startVolar(t, words, { VOLANT_API_BASE: api });
  if (input !== '') running.write(input);
  running.endInput();
  return running.ended;
}

/** A directory with files by name; it is removed when the test ends. */
export function directoryWith(t: TestContext, files: Readonly<Record<string, string>>): string {
  const directory = mkdtempSync(join(tmpdir(), 'volar-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  return directory;
}
