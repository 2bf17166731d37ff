// scripts: the fuzz targets of the guest agent, as data, and how they are built: for libFuzzer, or with a driver that
// needs no more than gcc. What a target is is written in test/fuzz/guest.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './command.mjs';
import { installPackages, missingFuzzTools } from './debian.mjs';
import { BUILD, PROJECT_ROOT } from './paths.mjs';

const AGENT = join(PROJECT_ROOT, 'native/guest');
const TARGETS = join(PROJECT_ROOT, 'test/fuzz/guest');

const LANGUAGE = ['-std=gnu11', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Werror', '-g', '-O1'];

/** `program` is a file of test/fuzz/guest, `sources` are those of the agent that it does not include itself. */
export const GUEST_TARGETS = [
  { name: 'guest-frames', program: 'frames', sources: ['util'], bytesMax: 4096 },
  { name: 'guest-request-heads', program: 'heads', sources: ['heads', 'util'], bytesMax: 20000 },
  {
    name: 'guest-manifest',
    program: 'manifest',
    sources: ['manifest', 'check', 'report', 'logring', 'launch', 'environment', 'json', 'util'],
    bytesMax: 8192,
  },
  { name: 'guest-json', program: 'json', sources: ['json', 'util'], bytesMax: 8192 },
  { name: 'guest-inflate', program: 'inflate', sources: ['util'], bytesMax: 8192 },
  { name: 'guest-cmdline', program: 'cmdline', sources: ['cmdline', 'util'], bytesMax: 4096 },
  { name: 'guest-dhcp', program: 'dhcp', sources: ['util'], bytesMax: 4096 },
  {
    name: 'guest-datagrams',
    program: 'datagrams',
    sources: ['relay', 'heads', 'util'],
    bytesMax: 1024,
  },
];

/** Compiles a target for libFuzzer below build/fuzz, with clang, which is installed where it is missing. Throws a Failure. */
export async function buildForLibFuzzer(target) {
  const missing = missingFuzzTools();
  // Says what to do where nothing can be installed.
  if (missing.length > 0) await installPackages(missing);
  const directory = join(BUILD.root, 'fuzz/bin');
  mkdirSync(directory, { recursive: true });
  return compile('clang', target, '-fsanitize=fuzzer,address,undefined', [], directory);
}

/** Compiles a target with test/fuzz/guest/driver.c into a directory. Returns the program. */
export function buildWithDriver(target, directory) {
  const driver = join(TARGETS, 'driver.c');
  return compile('gcc', target, '-fsanitize=address,undefined', [driver], directory);
}

async function compile(compiler, { program, sources }, checks, more, directory) {
  const output = join(directory, program);
  const inputs = [
    ...[program, 'host'].map((name) => join(TARGETS, `${name}.c`)),
    ...more,
    ...sources.map((name) => join(AGENT, `${name}.c`)),
  ];
  const options = [...LANGUAGE, checks, '-fno-sanitize-recover=all', '-I', AGENT, '-I', TARGETS];
  await run(compiler, [...options, '-o', output, ...inputs]);
  return output;
}
