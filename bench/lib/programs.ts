// bench: the programs in C that put the load and that are bounds: compiled once for each run of the benchmarks.

import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ROOT } from './daemon.ts';

const run = promisify(execFile);

const SOURCES = {
  load: 'bench/load.c',
  readers: 'bench/readers.c',
  spawnLoop: 'bench/spawn-loop.c',
} as const;

export type ProgramName = keyof typeof SOURCES;

const compiled = new Map<ProgramName, string>();
let directory: string | null = null;

/** The path of the program. Throws where the compiler finds a fault. */
export function compile(name: ProgramName): string {
  const known = compiled.get(name);
  if (known !== undefined) return known;
  directory ??= mkdtempSync(join(tmpdir(), 'volant-bench-programs-'));
  const program = join(directory, name);
  const flags = ['-O2', '-Wall', '-Wno-format-truncation', '-o', program];
  execFileSync('gcc', [...flags, join(ROOT, SOURCES[name]), '-lm']);
  compiled.set(name, program);
  return program;
}

/** Where the programs are; null when none was compiled. */
export function programsDirectory(): string | null {
  return directory;
}

export interface LoadResult {
  readonly requests: number;
  readonly seconds: number;
  /** What the generator itself took of its processor, as a share. */
  readonly generator: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface LoadOptions {
  readonly port: number;
  readonly path: string;
  readonly connections: number;
  readonly seconds: number;
  /** Requests a second by a fixed plan; left out: as fast as answers come. */
  readonly rate?: number;
  /** The processor that the generator is kept on. */
  readonly processor?: number;
}

/** Asks one path for some time. Throws when a request fails. */
export async function putLoad(options: LoadOptions): Promise<LoadResult> {
  const { port, path, connections, seconds, rate, processor } = options;
  const pinned = processor === undefined ? [] : ['taskset', '-c', String(processor)];
  const numbers = [connections, seconds, ...(rate === undefined ? [] : [rate])].map(String);
  const [program = '', ...args] = [...pinned, compile('load'), String(port), path, ...numbers];
  const { stdout } = await run(program, args);
  const result = JSON.parse(stdout);
  if (result.errors > 0) throw new Error(`${result.errors} requests for ${path} failed`);
  return {
    ...result,
    generator: result.cpuSeconds / result.seconds,
    perSecond: result.requests / result.seconds,
  };
}
