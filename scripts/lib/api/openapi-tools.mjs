// scripts: installs programs that validate the OpenAPI document, and a client generator. They need some hundred packages
// that neither the product nor other tests need, so they are installed outside the checkout, once for all checkouts.
// test/tools/openapi lists their exact versions.

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
import { Failure, run } from '../command.mjs';
import { BUILD, PROJECT_ROOT } from '../paths.mjs';
import { alreadyThere } from '../progress.mjs';
import { digest } from '../stamp.mjs';

const RECIPE = join(PROJECT_ROOT, 'test/tools/openapi');
const FILES = ['package.json', 'package-lock.json'];

/** Installs the tools at BUILD.openApiTools. If this fails, the tests report what they lack. */
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
  // The time marks the tools as used: unused ones are removed together with other files of the tests.
  const now = new Date();
  utimesSync(directory, now, now);
  mkdirSync(dirname(BUILD.openApiTools), { recursive: true });
  rmSync(BUILD.openApiTools, { force: true });
  symlinkSync(directory, BUILD.openApiTools);
  return isNew ? `installed ${directory}` : alreadyThere(directory);
}

/** The directory appears in one step, when it is complete. */
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
