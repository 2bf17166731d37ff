// test helpers: parts of the agent, built for the host with checks of memory and of undefined behaviour,
// and run there.

import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { before, type TestContext } from 'node:test';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';

const AGENT = join(PROJECT_ROOT, 'native/guest');
const TESTS = join(PROJECT_ROOT, 'test/guest');

/** Length of what a decoder refuses. */
const REFUSED = 0xffffffff;

/** What only process 1 of a guest can do; and channel.c, which the test program includes. */
const NOT_ON_A_HOST = [
  'base/console.c',
  'channel.c',
  'main.c',
  'network/dhcp.c',
  'network/interface.c',
  'network/network.c',
  'system/boot.c',
  'workload/power.c',
];

/** A program that was built is kept for the other test files of the run: compiling it costs seconds. */
const BUILT = join(PROJECT_ROOT, '.build/guest-programs');

const COMPILE = [
  ...['gcc', '-std=gnu11', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Werror', '-g', '-O1'],
  ...['-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-I', AGENT],
];

/** Arguments: $1 the program, then how it is compiled. */
const BUILD_ONCE =
  'program=$1; shift; [ -e "$program" ] || { "$@" -o "$program.new" && mv "$program.new" "$program"; }';

/** All that a program can be made of, and how. */
function digestOf(inputs: readonly string[]): string {
  const hash = createHash('sha256').update([...COMPILE, ...inputs].join('\0'));
  for (const directory of [AGENT, TESTS]) {
    const files = readdirSync(directory, { encoding: 'utf8', recursive: true }).sort();
    for (const file of files.filter((name) => /\.[ch]$/.test(name))) {
      hash.update(`\0${file}\0`).update(readFileSync(join(directory, file)));
    }
  }
  return hash.digest('hex').slice(0, 16);
}

/** Compiles `<name>.c` of test/guest with sources of the agent, unless it was. Returns the program. */
function build(name: string, sources: readonly string[]): string {
  const inputs = [join(TESTS, `${name}.c`), ...sources.map((source) => join(AGENT, source))];
  mkdirSync(BUILT, { recursive: true });
  const program = join(BUILT, `${name}-${digestOf(inputs)}`);
  // Test files run at the same time: one builds, the others wait for it.
  const once = [`${program}.lock`, 'sh', '-c', BUILD_ONCE, 'sh', program, ...COMPILE, ...inputs];
  execFileSync('flock', once);
  return program;
}

export function temporaryDirectory(t: Pick<TestContext, 'after'>): string {
  const directory = mkdtempSync(join(tmpdir(), 'volant-guest-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export function buildDecoder(): string {
  const sources = [
    'base/base64url.c',
    'base/files.c',
    'base/gunzip.c',
    'base/heads.c',
    'base/json.c',
    'base/say.c',
    'base/text.c',
    'system/cmdline.c',
    'workload/check.c',
    'workload/image.c',
    'workload/manifest.c',
  ];
  return build('decode', sources);
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

export function buildDhcpClient(): string {
  return build('dhcp-client', ['base/loop.c', 'base/say.c', 'network/dhcp.c']);
}

export function buildHostAgent(): string {
  const all = readdirSync(AGENT, { encoding: 'utf8', recursive: true }).filter((file) =>
    file.endsWith('.c'),
  );
  const sources = all.filter((file) => !NOT_ON_A_HOST.includes(file));
  return build('host-agent', sources);
}

/** Passes the path of the agent to `onBuilt` before the tests of this suite or file. */
export function shareHostAgent(onBuilt: (program: string) => void): void {
  before(() => onBuilt(buildHostAgent()));
}

export interface HostAgent {
  /** Of its HTTP server, on 127.0.0.1. */
  readonly port: number;
  /** The host's end of its channel. */
  readonly socketPath: string;
  readonly process: ChildProcess;
}

/** Runs until the end of the test, which fails when a check found something. */
export async function startHostAgent(
  t: TestContext,
  program: string,
  metadataPort?: number,
): Promise<HostAgent> {
  const socketPath = join(temporaryDirectory(t), 'agent.sock');
  const more = metadataPort === undefined ? [] : [String(metadataPort)];
  const child = spawn(program, [socketPath, ...more], { stdio: ['ignore', 'pipe', 'pipe'] });
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
