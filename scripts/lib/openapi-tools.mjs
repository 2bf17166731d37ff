// scripts: programs that judge the OpenAPI document, and a generator of clients from it. They bring some hundred packages, of
// which the product and its other tests need none, so they are installed outside the checkout, once for all checkouts. Which
// they are, exactly, says test/tools/openapi.

import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { Failure, run } from './command.mjs';
import { BUILD, PROJECT_ROOT } from './paths.mjs';
import { alreadyThere } from './progress.mjs';
import { digest } from './stamp.mjs';

const RECIPE = join(PROJECT_ROOT, 'test/tools/openapi');
const FILES = ['package.json', 'package-lock.json'];

/** Makes BUILD.openApiTools. Where it cannot be made the tests say themselves what they lack. */
export async function ensureOpenApiTools(tell) {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  const name = digest({ texts: FILES.map((file) => readFileSync(join(RECIPE, file), 'utf8')) });
  const directory = join(cache, 'volant-test', `openapi-tools-${name.slice(0, 16)}`);
  const isNew = !existsSync(directory);
  if (isNew) {
    tell('npm ci');
    try {
      await install(directory);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      return alreadyThere(`could not be installed: ${error.message}`);
    }
  }
  // What nobody has used for a while is removed beside the other things of the tests.
  const now = new Date();
  utimesSync(directory, now, now);
  mkdirSync(dirname(BUILD.openApiTools), { recursive: true });
  rmSync(BUILD.openApiTools, { force: true });
  symlinkSync(directory, BUILD.openApiTools);
  return isNew ? `installed ${directory}` : alreadyThere(directory);
}

/** It appears in one step, when it is complete. */
async function install(directory) {
  mkdirSync(dirname(directory), { recursive: true });
  const temporary = mkdtempSync(`${directory}.new-`);
  try {
    for (const file of FILES) copyFileSync(join(RECIPE, file), join(temporary, file));
    const options = ['--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund'];
    await run('npm', ['ci', ...options], { cwd: temporary });
    // Another checkout may have been faster.
    if (!existsSync(directory)) renameSync(temporary, directory);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}
