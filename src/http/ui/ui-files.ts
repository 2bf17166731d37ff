// http, ui: the files of the dashboard in memory. They are read once, from the folder that the build has filled, and found by
// name in a map: no path of a request reaches the file system. ui-routes.ts answers with them.

import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { LIMITS } from '../../config/limits.ts';

export interface UiFile {
  readonly contentType: string;
  readonly plain: Uint8Array;
  /** The same content, compressed by the build; null if the build left it as it is. */
  readonly gzip: Uint8Array | null;
  /** Without quotes; different for each content. */
  readonly tag: string;
  /** The name has a digest of the content, so that the content never changes. */
  readonly isImmutable: boolean;
}

/** Files by their names, which are those of the folder. */
export type UiFiles = ReadonlyMap<string, UiFile>;

export const UI_PAGE = 'index.html';

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

const COMPRESSED = '.gz';

/** A digest as esbuild puts it into names. */
const DIGEST_IN_NAME = /-[A-Z0-9]{8}\.\w+$/;

/**
 * The files of the folder; null if the dashboard is not built. Rejects with a sentence for the operator if the folder has
 * more than LIMITS allow, or something that is not of the dashboard.
 */
export async function readUiFiles(directory: string): Promise<UiFiles | null> {
  const names = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (names === null || !names.includes(UI_PAGE)) return null;
  const { uiFilesMax, uiBytesMax } = LIMITS;
  if (names.length > uiFilesMax) {
    throw new Error(`${directory} has ${names.length} files, more than ${uiFilesMax}`);
  }
  const contents = new Map<string, Buffer>();
  let sizeBytes = 0;
  for (const name of names) {
    const content = await readFile(join(directory, name));
    sizeBytes += content.length;
    if (sizeBytes > uiBytesMax) throw new Error(`${directory} has more than ${uiBytesMax} bytes`);
    contents.set(name, content);
  }
  const plain = [...contents].filter(([name]) => extname(name) !== COMPRESSED);
  return new Map(
    plain.map(([name, content]) => [name, toFile(directory, name, content, contents)]),
  );
}

function toFile(
  directory: string,
  name: string,
  plain: Buffer,
  contents: ReadonlyMap<string, Buffer>,
): UiFile {
  const contentType = CONTENT_TYPES[extname(name)];
  if (contentType === undefined) throw new Error(`${join(directory, name)} has an unknown type`);
  return {
    contentType,
    plain,
    gzip: contents.get(name + COMPRESSED) ?? null,
    tag: createHash('sha256').update(plain).digest('base64url').slice(0, 22),
    isImmutable: DIGEST_IN_NAME.test(name),
  };
}
