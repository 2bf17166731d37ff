// lib, files: where the files of this program are. Its code may be in a bundle or in a module for each source, so a place is
// not relative to the module that asks. It is found by a file that is nowhere else, above the code that runs.

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The package, or the checkout. */
const PACKAGE = directoryWith('package.json');

/** The compiled programs. */
const PROGRAMS = directoryWith('volantd.js');

/** The absolute path of a file that comes with the package. */
export function packageFile(path: string): string {
  return join(PACKAGE, path);
}

/** The absolute path of a program, or of what is built beside the programs. */
export function programFile(path: string): string {
  return join(PROGRAMS, path);
}

/** The nearest directory with this file, from that of the running code upwards. */
function directoryWith(file: string): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, file))) {
    const above = dirname(directory);
    if (above === directory) throw new Error(`${file} is not in a directory above the code`);
    directory = above;
  }
  return directory;
}
