// jobs, images: makes a directory of an image's tree. Every directory is made by this file, below one that only root may
// enter, before anything is put into it. So no link of the image can lead a write to another place.

import {
  chmodSync,
  chownSync,
  lchownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  renameSync,
  symlinkSync,
  utimesSync,
} from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { errnoOf, JobFault } from '../fault.ts';
import { native } from '../native.ts';
import type { FileStore } from './file-store.ts';
import type { DirectoryNode, SpecialNode, TreeNode } from './image-tree.ts';
import { TarInvalid } from './tar/tar-invalid.ts';

/** So many nodes are made before other work of the thread has its turn, such as the end of this job. */
const NODES_PER_TURN = 256;

/** stat(2): the kinds of nodes. */
const KIND_BITS = { character: 0o020000, block: 0o060000, fifo: 0o010000 } as const;

const SLASH = Buffer.from('/');

interface Work {
  readonly store: FileStore;
  readonly signal: AbortSignal;
  /** Where each file with several names is. */
  readonly places: Map<TreeNode, Buffer>;
  made: number;
}

/** Makes the tree at `path`, which must not exist. Throws TarInvalid for what this host cannot make. */
export async function materialise(
  root: DirectoryNode,
  path: string,
  store: FileStore,
  signal: AbortSignal,
): Promise<void> {
  const work: Work = { store, signal, places: new Map(), made: 0 };
  await makeDirectory(work, root, Buffer.from(path));
}

async function makeDirectory(work: Work, node: DirectoryNode, path: Buffer): Promise<void> {
  mkdirSync(path, { mode: 0o700 });
  for (const [name, child] of node.children) {
    work.made += 1;
    if (work.made % NODES_PER_TURN === 0) await turn();
    work.signal.throwIfAborted();
    const place = Buffer.concat([path, SLASH, Buffer.from(name, 'latin1')]);
    try {
      if (child.kind === 'directory') await makeDirectory(work, child, place);
      else makeNode(work, child, place);
    } catch (error) {
      throw withPlace(error, place.subarray(path.length));
    }
  }
  chownSync(path, node.attributes.uid, node.attributes.gid);
  chmodSync(path, node.attributes.mode);
  setXattrs(node, path);
  // Last, because each name that is made changes it.
  utimesSync(path, node.attributes.modifiedSeconds, node.attributes.modifiedSeconds);
}

function makeNode(work: Work, node: Exclude<TreeNode, DirectoryNode>, path: Buffer): void {
  const before = work.places.get(node);
  if (before !== undefined) {
    linkSync(before, path);
    return;
  }
  work.places.set(node, path);
  const { uid, gid, mode, modifiedSeconds } = node.attributes;
  if (node.kind === 'symlink') {
    symlinkSync(Buffer.from(node.target, 'latin1'), path);
    lchownSync(path, uid, gid);
  } else {
    if (node.kind === 'file') renameSync(work.store.pathOf(node.content), path);
    else makeSpecial(node, path);
    // A change of the owner clears set-user-ID and capabilities, so they come after it.
    chownSync(path, uid, gid);
    chmodSync(path, mode);
  }
  setXattrs(node, path);
  lutimesSync(path, modifiedSeconds, modifiedSeconds);
}

function makeSpecial({ kind, major, minor }: SpecialNode, path: Buffer): void {
  try {
    native.nodeMake(path, KIND_BITS[kind] | 0o600, major, minor);
  } catch (error) {
    if (errnoOf(error) !== 'EPERM') throw error;
    const why = 'The image has device nodes, which the daemon may not make (CAP_MKNOD)';
    throw new JobFault('HOST_PERMISSION', why, error);
  }
}

function setXattrs({ attributes }: TreeNode, path: Buffer): void {
  for (const [name, value] of attributes.xattrs) {
    native.xattrSet(path, Buffer.from(name, 'latin1').toString('utf8'), value);
  }
}

/** What the file system of the host does not take is the image's fault, and named. */
function withPlace(error: unknown, place: Buffer): unknown {
  const codes = ['ENAMETOOLONG', 'EINVAL', 'ENOTSUP', 'E2BIG', 'ERANGE', 'EMLINK', 'EILSEQ'];
  const errno = errnoOf(error);
  if (errno === undefined || !codes.includes(errno)) return error;
  const shown = JSON.stringify(place.toString('utf8').slice(0, 100));
  return new TarInvalid(`has the entry ${shown}, which this host cannot make (${errno})`);
}
