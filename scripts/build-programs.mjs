// scripts: compiles src/ (npm run build:programs). esbuild bundles the programs into dist/: a file for each program, and parts
// that several programs share or that are loaded on use, so that a start loads a few files in place of hundreds. tsc checks
// the types, and compiles each source by itself into build/modules, where scripts find the client and the schemas. Skipped if
// nothing has changed.

import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Failure, run, runMain } from './lib/command.mjs';
import { BUILD, PROJECT_ROOT } from './lib/paths.mjs';
import { alreadyThere } from './lib/progress.mjs';
import { digest, isFresh, remember } from './lib/stamp.mjs';

const TARGET = join(PROJECT_ROOT, 'dist');

/** Where build-ui.mjs puts the dashboard. */
const UI = 'ui';

/** Commands that are run by their name. */
const COMMANDS = ['src/volantd.ts', 'src/main.ts', 'src/cli/main.ts', 'src/load/main.ts'];

/** Everything else that is started by its path, or imported by a script or a user of the package. */
const OTHERS = [
  'src/check.ts',
  'src/workers/entry.ts',
  'src/store/integrity-program.ts',
  'src/load/load.ts',
  'src/load/generator/generator-process.ts',
];

/** Packages that become a part of the bundles: pure modules, hundreds of them. All others are loaded from node_modules. */
const BUNDLED = ['typebox'];

const INPUTS = ['src', 'tsconfig.json', 'package.json', 'package-lock.json'];

const builtFrom = (source) => join(TARGET, source.replace(/^src\/(.*)\.ts$/, '$1.js'));

function currentInputs() {
  const paths = [...INPUTS, 'scripts/build-programs.mjs'];
  return digest({ paths: paths.map((path) => join(PROJECT_ROOT, path)) });
}

/** True if dist/ matches the sources. */
export function areProgramsBuilt() {
  const outputs = [...[...COMMANDS, ...OTHERS].map(builtFrom), BUILD.modules];
  return isFresh('programs', currentInputs(), outputs);
}

/** Builds the programs if a source has changed, and calls `tell(line)` before it begins. */
export async function buildPrograms(tell = () => undefined) {
  if (areProgramsBuilt()) return alreadyThere('all there');
  tell('TypeScript');
  const inputs = currentInputs();
  // Into empty directories: the output of a deleted source must not stay.
  rmSync(BUILD.modules, { recursive: true, force: true });
  await run(join(PROJECT_ROOT, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.json'], {
    cwd: PROJECT_ROOT,
  });
  const made = join(BUILD.root, 'programs.new');
  rmSync(made, { recursive: true, force: true });
  const { inputs: sources } = await bundle(made);
  writeFileSync(join(made, 'licenses.txt'), licensesOf(Object.keys(sources)));
  mkdirSync(TARGET, { recursive: true });
  for (const name of readdirSync(TARGET)) {
    if (name !== UI) rmSync(join(TARGET, name), { recursive: true, force: true });
  }
  for (const name of readdirSync(made)) renameSync(join(made, name), join(TARGET, name));
  rmSync(made, { recursive: true });
  for (const command of COMMANDS) chmodSync(builtFrom(command), 0o755);
  remember('programs', inputs);
  return 'compiled the daemon and volar into dist/';
}

/** Loaded on use: an installed package has neither esbuild nor this script. Returns what is in the bundles. */
async function bundle(outdir) {
  const { build } = await import('esbuild');
  const { dependencies } = JSON.parse(readFileSync(join(PROJECT_ROOT, 'package.json'), 'utf8'));
  try {
    const { metafile } = await build({
      entryPoints: [...COMMANDS, ...OTHERS],
      absWorkingDir: PROJECT_ROOT,
      outbase: join(PROJECT_ROOT, 'src'),
      outdir,
      bundle: true,
      splitting: true,
      format: 'esm',
      platform: 'node',
      target: 'node20',
      chunkNames: 'parts/[name]-[hash]',
      external: Object.keys(dependencies).filter((name) => !BUNDLED.includes(name)),
      // Names and lines stay as they are written, so that a stack can be read without the map.
      minify: false,
      charset: 'utf8',
      sourcemap: 'linked',
      sourcesContent: false,
      legalComments: 'none',
      metafile: true,
      logLevel: 'silent',
    });
    return metafile;
  } catch (error) {
    throw new Failure(`The programs cannot be bundled.\n${error.message}`);
  }
}

/** The licenses of the packages that are a part of the bundles, as each of them asks for. */
function licensesOf(sources) {
  const packages = sources.flatMap(
    (path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? [],
  );
  return [...new Set(packages)]
    .sort()
    .map((name) => {
      const directory = join(PROJECT_ROOT, 'node_modules', name);
      const file = readdirSync(directory).find((entry) => /^licen[cs]e/i.test(entry));
      if (file === undefined) throw new Failure(`${name} is bundled and has no license file.`);
      return `${name}\n\n${readFileSync(join(directory, file), 'utf8').trim()}\n`;
    })
    .join('\n');
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await runMain(async () => {
    const result = await buildPrograms();
    const text = typeof result === 'string' ? result : 'the programs are up to date';
    process.stdout.write(`${text}\n`);
  });
}
