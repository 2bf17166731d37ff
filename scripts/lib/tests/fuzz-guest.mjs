// scripts: the fuzz targets of the guest agent, as data, and how they are built: for libFuzzer, or with a driver that needs
// only gcc. The targets themselves are in test/fuzz/guest.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../command.mjs';
import { BUILD, PROJECT_ROOT } from '../paths.mjs';
import { installPackages, missingFuzzTools } from '../systems/debian.mjs';

const AGENT = join(PROJECT_ROOT, 'native/guest');
const TARGETS = join(PROJECT_ROOT, 'test/fuzz/guest');

const LANGUAGE = ['-std=gnu11', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Werror', '-g', '-O1'];

const BASE = ['base/files', 'base/say', 'base/text'];

/** `program` is a file of test/fuzz/guest; `sources` are files of the agent that it does not include itself. */
export const GUEST_TARGETS = [
  { name: 'guest-frames', program: 'frames', sources: BASE, bytesMax: 4096 },
  { name: 'guest-request-heads', program: 'heads', sources: ['base/heads'], bytesMax: 20000 },
  {
    name: 'guest-manifest',
    program: 'manifest',
    sources: [
      ...BASE,
      'base/json',
      'system/environment',
      'workload/check',
      'workload/end',
      'workload/image',
      'workload/launch',
      'workload/log_ring',
      'workload/manifest',
      'workload/report',
      'workload/user',
    ],
    bytesMax: 8192,
  },
  { name: 'guest-json', program: 'json', sources: ['base/json', ...BASE], bytesMax: 8192 },
  { name: 'guest-inflate', program: 'inflate', sources: ['base/base64url'], bytesMax: 8192 },
  {
    name: 'guest-cmdline',
    program: 'cmdline',
    sources: ['system/cmdline', ...BASE],
    bytesMax: 4096,
  },
  { name: 'guest-dhcp', program: 'dhcp', sources: BASE, bytesMax: 4096 },
  {
    name: 'guest-tar',
    program: 'tar',
    sources: ['files/tar_header', 'files/tar_stream'],
    bytesMax: 8192,
  },
  {
    name: 'guest-datagrams',
    program: 'datagrams',
    sources: ['http/flow'],
    bytesMax: 1024,
  },
  {
    name: 'guest-metadata',
    program: 'metadata',
    sources: ['metadata/document', 'base/json'],
    bytesMax: 4096,
  },
  {
    name: 'guest-exec-frames',
    program: 'exec_frames',
    sources: ['exec/frames'],
    bytesMax: 1024,
  },
];

/** Compiles a target for libFuzzer below build/fuzz. Installs clang if it is missing. Throws a Failure. */
export async function buildForLibFuzzer(target) {
  const missing = missingFuzzTools();
  // Throws a Failure with the remedy if nothing can be installed.
  if (missing.length > 0) await installPackages(missing);
  const directory = join(BUILD.root, 'fuzz/bin');
  mkdirSync(directory, { recursive: true });
  return compile('clang', target, '-fsanitize=fuzzer,address,undefined', [], directory);
}

/** Compiles a target with test/fuzz/guest/driver.c into a directory. Returns the path of the program. */
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
