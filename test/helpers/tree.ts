// test helpers: a tree of files as text, to compare two of them.

import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

/**
 * A line for everything below a directory: path, type with mode, owner, time, and the target of a link or the digest of a file.
 * Times are counted in units of `timeUnitMs`.
 */
export function describeTree(directory: string, timeUnitMs: number, base = ''): string[] {
  return readdirSync(join(directory, base))
    .sort()
    .flatMap((name) => {
      const path = join(base, name);
      const at = join(directory, path);
      const facts = lstatSync(at);
      const time = Math.floor(facts.mtimeMs / timeUnitMs);
      const what = facts.isSymbolicLink()
        ? readlinkSync(at)
        : facts.isFile()
          ? createHash('sha256').update(readFileSync(at)).digest('hex')
          : '';
      const line = `${path} ${facts.mode.toString(8)} ${facts.uid}:${facts.gid} ${time} ${what}`;
      return facts.isDirectory() ? [line, ...describeTree(directory, timeUnitMs, path)] : [line];
    });
}
