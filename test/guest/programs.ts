// test helpers: parts of the agent, built for the host with checks of memory and of undefined behaviour,
// and run there.

import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';

const AGENT = join(PROJECT_ROOT, 'native/guest');
const TESTS = join(PROJECT_ROOT, 'test/guest');

/** Length of what a decoder refuses. */
const REFUSED = 0xffffffff;

/** What only PID 1 of a guest can do; and channel.c, which the test program takes in as a text. */
const NOT_ON_A_HOST = ['boot.c', 'channel.c', 'dhcp.c', 'main.c', 'network.c', 'power.c'];

/** Compiles `<name>.c` of test/guest with sources of the agent. Returns the program. */
function build(directory: string, name: string, sources: readonly string[]): string {
  const program = join(directory, name);
  const inputs = [join(TESTS, `${name}.c`), ...sources.map((source) => join(AGENT, source))];
  const checks = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-g', '-O1'];
  const language = ['-std=gnu11', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Werror'];
  execFileSync('gcc', [...language, ...checks, '-I', AGENT, '-o', program, ...inputs]);
  return program;
}

export function temporaryDirectory(t: Pick<TestContext, 'after'>): string {
  const directory = mkdtempSync(join(tmpdir(), 'volant-guest-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export function buildDecoder(directory: string): string {
  const sources = ['codec.c', 'json.c', 'cmdline.c', 'manifest.c', 'check.c', 'heads.c', 'util.c'];
  return build(directory, 'decode', sources);
}

/** What each input becomes by a decoder that was built; null when it is refused. */
export function decodeWith(
  decoder: string,
  what: string,
  inputs: readonly (Buffer | string)[],
): (Buffer | null)[] {
  const input = inputs.flatMap((given) => {
    const bytes = Buffer.from(given);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes.length);
    return [length, bytes];
  });
  // A check of memory that fails ends the program with a status, which throws here.
  const output = execFileSync(decoder, [what], {
    input: Buffer.concat(input),
    maxBuffer: 256 * 1024 * 1024,
    stdio: 'pipe',
  });
  const results: (Buffer | null)[] = [];
  for (let at = 0; at < output.length; ) {
    const length = output.readUInt32LE(at);
    at += 4;
    results.push(length === REFUSED ? null : output.subarray(at, at + length));
    at += length === REFUSED ? 0 : length;
  }
  assert.equal(results.length, inputs.length);
  return results;
}

export function buildDhcpClient(directory: string): string {
  return build(directory, 'dhcp-client', ['dhcp.c', 'loop.c', 'util.c']);
}

export function buildHostAgent(directory: string): string {
  const all = readdirSync(AGENT).filter((file) => file.endsWith('.c'));
  const sources = all.filter((file) => !NOT_ON_A_HOST.includes(file));
  return build(directory, 'host-agent', sources);
}

export interface HostAgent {
  /** Of its HTTP server, on 127.0.0.1. */
  readonly port: number;
  /** The host's end of its channel. */
  readonly socketPath: string;
  readonly process: ChildProcess;
}

/** Runs until the end of the test, which fails when a check found something. */
export async function startHostAgent(t: TestContext, program: string): Promise<HostAgent> {
  const socketPath = join(temporaryDirectory(t), 'agent.sock');
  const child = spawn(program, [socketPath], { stdio: ['ignore', 'pipe', 'pipe'] });
  let complaints = '';
  child.stderr.on('data', (chunk) => {
    complaints += chunk;
  });
  t.after(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    }
    if (child.exitCode !== 0) throw new Error(`the agent ended badly:\n${complaints}`);
  });
  for await (const line of createInterface({ input: child.stdout })) {
    return { port: Number(line.replace('port ', '')), socketPath, process: child };
  }
  throw new Error(`the agent did not start:\n${complaints}`);
}
