// jobs, images: makes a root disk of a directory: an ext4 file system in a sparse file. docs/adr has why it is ext4 and how
// it was measured.

import { closeSync, fsyncSync, openSync } from 'node:fs';
import { LIMITS } from '../../../config/limits.ts';
import { JobFault } from '../fault.ts';
import { runToEnd } from '../run-program.ts';

const BLOCK_BYTES = 4096;
/** For each file: 256 bytes of inode. */
const INODE_BYTES = 256;
/** A guest makes files, too. */
const SPARE_INODES = 65_536;
const BYTES_PER_INODE = 16_384;
const MEBIBYTE = 2 ** 20;
/** Bitmaps, descriptors and the journal. */
const FIXED_BYTES = 128 * MEBIBYTE;

export interface DiskContents {
  readonly directory: string;
  readonly nodes: number;
  readonly blocks: number;
  readonly rootUid: number;
  readonly rootGid: number;
  readonly rootMode: number;
}

/**
 * Makes the file, which must not exist, and syncs it. What the guest may add to it is LIMITS.imageFreeBytes. Throws
 * HOST_OPERATION_FAILED.
 */
export async function makeRootDisk(
  path: string,
  contents: DiskContents,
  signal: AbortSignal,
): Promise<void> {
  const { directory, nodes, blocks, rootUid, rootGid, rootMode } = contents;
  const needed = blocks * BLOCK_BYTES * 1.05 + nodes * INODE_BYTES + FIXED_BYTES;
  const mebibytes = Math.ceil((needed + LIMITS.imageFreeBytes) / MEBIBYTE);
  const inodes = nodes + SPARE_INODES + Math.ceil((mebibytes * MEBIBYTE) / BYTES_PER_INODE);
  // A new file has zeros without writing them. A guest that found its tables unfinished would write all of them.
  const extended = `assume_storage_prezeroed=1,root_owner=${rootUid}:${rootGid}`;
  await run(
    'mke2fs',
    [
      ...[
        '-q',
        '-F',
        '-t',
        'ext4',
        '-m',
        '0',
        '-b',
        String(BLOCK_BYTES),
        '-I',
        String(INODE_BYTES),
      ],
      ...['-N', String(inodes), '-E', extended, '-d', directory, path, `${mebibytes}M`],
    ],
    signal,
  );
  // mke2fs gives the root directory a mode of its own, and adds a directory for what fsck finds.
  const mode = (0o040000 | rootMode).toString(8);
  for (const request of ['rmdir lost+found', `set_inode_field / mode 0${mode}`]) {
    await run('debugfs', ['-w', '-R', request, path], signal);
  }
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

async function run(program: string, args: readonly string[], signal: AbortSignal): Promise<void> {
  const { status, said } = await runToEnd(program, args, { signal });
  if (status === 0) return;
  const remedy = status === 127 ? 'install the package e2fsprogs' : 'see the log';
  const what = `The root disk of an image cannot be made: ${remedy}`;
  throw new JobFault('HOST_OPERATION_FAILED', what, `${program}: ${said}`);
}
