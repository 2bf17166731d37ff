// scripts: records the inputs of a build step, so that the step is skipped while they are the same.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BUILD } from './paths.mjs';

/** A digest of the names and contents of files and directories, and of further texts. */
export function digest({ paths = [], texts = [] }) {
  const hash = createHash('sha256');
  const add = (path) => {
    if (statSync(path).isDirectory()) {
      for (const name of readdirSync(path).sort()) add(join(path, name));
    } else {
      hash.update(`${path}\0`).update(readFileSync(path)).update('\0');
    }
  };
  for (const path of paths) add(path);
  for (const text of texts) hash.update(`${text}\0`);
  return hash.digest('hex');
}

/** True if `name` was built from this digest and all its outputs still exist. */
export function isFresh(name, value, outputs) {
  const file = join(BUILD.stamps, name);
  return (
    outputs.every((output) => existsSync(output)) &&
    existsSync(file) &&
    readFileSync(file, 'utf8') === value
  );
}

export function remember(name, value) {
  mkdirSync(BUILD.stamps, { recursive: true });
  writeFileSync(join(BUILD.stamps, name), value);
}
