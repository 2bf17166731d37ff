// scripts: builds packages/client/dist from src/client (npm run build:client): the compiled client and its types, without
// imports of other packages. `npm pack ./packages/client` runs it.

import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { buildPrograms } from './build-programs.mjs';
import { declareTypes } from './lib/api/client-types.mjs';
import { Failure, runMain } from './lib/command.mjs';
import { BUILD, PROJECT_ROOT } from './lib/paths.mjs';

const SOURCE = join(BUILD.modules, 'client');
const TARGET = join(PROJECT_ROOT, 'packages/client/dist');
const IMPORT = /(\bfrom |\bimport\()'(\.[^']*)'/g;

/** The path of a client's import within the package. Imported modules from other folders are added to `found`. */
function inPackage(from, found) {
  const path = from.replace(/\.(ts|js)$/, '');
  if (path.startsWith('./')) return `${path}.js`;
  if (path === '../lib/version') return './version.js';
  if (!path.startsWith('../schema/'))
    throw new Failure(`The client imports ${from}, which is not part of the package.`);
  found.add(join(SOURCE, path));
  return './schema.js';
}

await runMain(async () => {
  await buildPrograms();
  rmSync(TARGET, { recursive: true, force: true });
  mkdirSync(TARGET, { recursive: true });
  const schemas = new Set();
  const files = readdirSync(SOURCE).filter((name) => /\.(js|d\.ts)$/.test(name));
  const version = ['js', 'd.ts'].map((ending) => join(dirname(SOURCE), `lib/version.${ending}`));
  for (const file of [...files.map((name) => join(SOURCE, name)), ...version]) {
    const text = readFileSync(file, 'utf8')
      .replace(/^\/\/# sourceMappingURL=.*\n?/m, '')
      .replaceAll(IMPORT, (_, word, from) => `${word}'${inPackage(from, schemas)}'`);
    const foreign = /(?:\bfrom |\bimport\()'([^.'][^']*)'/.exec(text);
    if (foreign !== null && !foreign[1].startsWith('node:')) {
      throw new Failure(
        `${file} imports ${foreign[1]}, and the client must not depend on a package.`,
      );
    }
    writeFileSync(join(TARGET, file.slice(file.lastIndexOf('/') + 1)), text);
  }
  writeFileSync(join(TARGET, 'schema.d.ts'), await declareTypes([...schemas].sort()));
});
