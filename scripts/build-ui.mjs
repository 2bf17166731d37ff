// scripts: bundles the dashboard of ui/ into dist/ui, from where the daemon serves it (npm run build:ui). Names have a digest
// of their content; each file is compressed here, once. Skipped if nothing has changed. The bundle is made of the types as
// they are: `npm run typecheck` checks them.

import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { Failure, runMain } from './lib/command.mjs';
import { PROJECT_ROOT } from './lib/paths.mjs';
import { alreadyThere } from './lib/progress.mjs';
import { digest, isFresh, remember } from './lib/stamp.mjs';

const SOURCE = join(PROJECT_ROOT, 'ui');
const TARGET = join(PROJECT_ROOT, 'dist/ui');

/** What the bundle is made of: the client, and types of the API. */
const INPUTS = ['ui', 'src/client', 'src/schema', 'src/lib/version.ts', 'package-lock.json'];

/** What the first page needs may have so many bytes when it is compressed: it must be quick on a slow line, too. */
const FIRST_PAGE_BYTES_MAX = 64 * 1024;

/** Bundles the dashboard if it has changed, and calls `tell(line)` before it begins. */
export async function buildUi(tell = () => undefined) {
  const inputs = [...INPUTS, 'scripts/build-ui.mjs'];
  const value = digest({ paths: inputs.map((path) => join(PROJECT_ROOT, path)) });
  if (isFresh('ui', value, [join(TARGET, 'index.html')])) return alreadyThere('all there');
  tell('bundling');
  const made = `${TARGET}.new`;
  rmSync(made, { recursive: true, force: true });
  const { metafile } = await bundle(made);
  const outputs = Object.entries(metafile.outputs);
  // What import() loads is an entry point of its own, so these two are recognised by their sources.
  const named = (source) => {
    const entry = outputs.find(([, { entryPoint }]) => entryPoint === `ui/${source}`);
    return basename(entry[0]);
  };
  const [script, style] = [named('app/main.tsx'), named('styles/main.css')];
  const icon = await nameIcon(made);
  const page = readFileSync(join(SOURCE, 'index.html'), 'utf8')
    .replace('@ICON@', icon)
    .replace('@STYLE@', style)
    .replace('@SCRIPT@', script);
  writeFileSync(join(made, 'index.html'), page);
  for (const name of readdirSync(made)) compress(join(made, name));
  const first = firstPage(metafile, [script, style]).map((name) => join(made, name));
  const firstBytes = sum([...first, join(made, 'index.html')].map((file) => sizeOf(`${file}.gz`)));
  if (firstBytes > FIRST_PAGE_BYTES_MAX) {
    throw new Failure(
      `The first page of the dashboard has ${firstBytes} bytes, more than ${FIRST_PAGE_BYTES_MAX}: load what it does not need with import().`,
    );
  }
  rmSync(TARGET, { recursive: true, force: true });
  renameSync(made, TARGET);
  remember('ui', value);
  return `bundled the dashboard; its first page has ${(firstBytes / 1024).toFixed(0)} KiB`;
}

/** Loaded on use: neither the daemon nor an installed package needs it. */
async function bundle(outdir) {
  const { build } = await import('esbuild');
  try {
    return await build({
      entryPoints: { app: join(SOURCE, 'app/main.tsx'), style: join(SOURCE, 'styles/main.css') },
      absWorkingDir: PROJECT_ROOT,
      outdir,
      bundle: true,
      splitting: true,
      format: 'esm',
      minify: true,
      legalComments: 'none',
      target: ['chrome123', 'firefox120', 'safari17.5'],
      entryNames: '[name]-[hash]',
      chunkNames: 'part-[hash]',
      jsx: 'automatic',
      jsxImportSource: 'preact',
      // The client loads modules of Node on use, where there is a Node.
      external: ['node:*'],
      metafile: true,
      logLevel: 'silent',
    });
  } catch (error) {
    throw new Failure(`The dashboard cannot be bundled.\n${error.message}`);
  }
}

/** Same name rule as for what esbuild writes. */
async function nameIcon(directory) {
  const source = join(SOURCE, 'icon.svg');
  const name = `icon-${digest({ texts: [readFileSync(source, 'utf8')] })
    .slice(0, 8)
    .toUpperCase()}.svg`;
  writeFileSync(join(directory, name), readFileSync(source));
  return name;
}

function compress(file) {
  writeFileSync(`${file}.gz`, gzipSync(readFileSync(file), { level: 9 }));
}

/** The outputs that these load at once: those of an import statement, not those of import(). */
function firstPage({ outputs }, entries) {
  const byName = new Map(Object.entries(outputs).map(([path, made]) => [basename(path), made]));
  const found = new Set(entries);
  for (const name of found) {
    for (const { path, kind } of byName.get(name)?.imports ?? []) {
      if (kind === 'import-statement') found.add(basename(path));
    }
  }
  return [...found];
}

const sizeOf = (file) => (existsSync(file) ? readFileSync(file).length : 0);
const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await runMain(async () => {
    mkdirSync(join(PROJECT_ROOT, 'dist'), { recursive: true });
    const result = await buildUi();
    process.stdout.write(
      `${typeof result === 'string' ? result : 'the dashboard is up to date'}\n`,
    );
  });
}
