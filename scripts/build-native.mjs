// scripts: builds the native programs: the addon with cmake-js, the guest agent and the simulator with musl-gcc. A target
// is skipped if its sources have not changed. A failed build keeps the earlier output.

import { mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Failure, findCommand, run, runMain } from './lib/command.mjs';
import { BUILD, PROJECT_ROOT, userCommand } from './lib/paths.mjs';
import { formatSeconds } from './lib/progress.mjs';
import { digest, isFresh, remember } from './lib/stamp.mjs';

/** The agent stays in every guest's memory, so it must be small. */
const AGENT_BYTES_MAX = 220 * 1024;

/** Headers of musl take precedence; kernel headers are used only for what musl lacks. */
const KERNEL_HEADERS = [
  '-idirafter',
  '/usr/include',
  '-idirafter',
  '/usr/include/x86_64-linux-gnu',
];

/** -Wmissing-prototypes: a function is static, or declared in the header of its module. */
const WARNINGS = ['-Wall', '-Wextra', '-Wmissing-prototypes', '-Werror'];

const LANGUAGE = ['-std=gnu11', '-D_GNU_SOURCE', ...WARNINGS];

/**
 * Without what no function uses, without the tables of C++ exceptions, and without the padding between code and constants, which
 * costs two pages of each guest.
 */
const SMALL = [
  '-Os',
  '-s',
  '-ffunction-sections',
  '-fdata-sections',
  '-fno-asynchronous-unwind-tables',
  '-Wl,--gc-sections',
  '-Wl,-z,noseparate-code',
];

const TARGETS = [
  {
    name: 'addon',
    sources: ['native/addon', 'native/CMakeLists.txt', 'native/package.json'],
    output: 'build/Release/volant_native.node',
    build: buildAddon,
  },
  {
    name: 'guest agent',
    sources: ['native/guest'],
    output: 'build/guest/agent',
    build: (target) => compileStatic(target, SMALL).then(() => checkAgentSize(target)),
  },
  {
    name: 'simulator',
    sources: ['native/simulator'],
    output: 'build/simulator/simulator',
    build: (target) => compileStatic(target, ['-O2', '-s']),
  },
];

/** Builds changed targets, and calls `tell(line)` for each. Returns the names of the targets that it built. */
export async function buildNative(tell = () => undefined) {
  const built = [];
  for (const target of TARGETS) {
    const paths = target.sources.map((source) => join(PROJECT_ROOT, source));
    const output = join(PROJECT_ROOT, target.output);
    const stamp = `native-${target.name.replaceAll(' ', '-')}`;
    const value = digest({ paths, texts: [process.versions.modules] });
    if (isFresh(stamp, value, [output])) continue;
    const startedMs = performance.now();
    mkdirSync(dirname(output), { recursive: true });
    // A compiler that fails deletes its output file.
    const made = `${output}.new`;
    await target.build({ ...target, output: made });
    renameSync(made, output);
    remember(stamp, value);
    built.push(target.name);
    tell(`${target.name} built (${formatSeconds((performance.now() - startedMs) / 1000)})`);
  }
  return built;
}

/** cmake-js builds in a directory of its own, because it empties that directory on failure. */
async function buildAddon({ output }) {
  for (const command of ['cmake', 'g++']) requireCommand(command, command);
  const tool = findBuildTool();
  // cmake-js takes Node's headers from a package; a user's npm setting would override that.
  const { npm_config_nodedir: _, ...environment } = process.env;
  // A build directory of another checkout or another version of CMake cannot be reused.
  const work = join(BUILD.root, 'addon');
  rmSync(join(work, 'CMakeCache.txt'), { force: true });
  const directory = join(PROJECT_ROOT, 'native');
  await run(process.execPath, [tool, 'compile', '-d', directory, '--out', work], {
    cwd: PROJECT_ROOT,
    env: environment,
  });
  renameSync(join(work, 'Release', basename(BUILD.addon)), output);
}

/** npm installs it next to this project in a checkout, and above it if this project is a package itself. */
function findBuildTool() {
  try {
    const { resolve } = createRequire(import.meta.url);
    return join(dirname(resolve('cmake-js/package.json')), 'bin/cmake-js');
  } catch (error) {
    if (error.code !== 'MODULE_NOT_FOUND') throw error;
    throw new Failure('The npm packages are missing: run `npm install` first');
  }
}

async function compileStatic({ sources, output }, optimisation) {
  requireCommand('musl-gcc', 'musl-tools');
  const directory = join(PROJECT_ROOT, sources[0]);
  const files = readdirSync(directory, { recursive: true }).filter((name) => name.endsWith('.c'));
  const inputs = files.sort().map((name) => join(directory, name));
  await run('musl-gcc', [
    ...LANGUAGE,
    ...optimisation,
    '-static',
    ...KERNEL_HEADERS,
    '-I',
    directory,
    '-o',
    output,
    ...inputs,
  ]);
}

function checkAgentSize({ output }) {
  const { size } = statSync(output);
  if (size < AGENT_BYTES_MAX) return;
  throw new Failure(`The guest agent has ${size} bytes, more than ${AGENT_BYTES_MAX}`);
}

function requireCommand(command, packageName) {
  if (findCommand(command) !== null) return;
  throw new Failure(
    `${command} is missing: install the package ${packageName}, or run \`${userCommand('setup')}\``,
  );
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await runMain(async () => {
    const built = await buildNative((line) => process.stdout.write(`${line}\n`));
    if (built.length === 0) process.stdout.write('native parts are up to date\n');
  });
}
