// jobs, images: the file system of an image in memory, and what the entries of its layers do to it. Nothing here touches the
// host's files: paths, symbolic links and ".." of an image have a meaning within its own tree only. file-store.ts has the
// contents, materialise.ts makes a directory of the tree.

import { LIMITS } from '../../../config/limits.ts';
import { TarInvalid } from './tar/tar-invalid.ts';
import type { TarEntry } from './tar/tar-reader.ts';

/** Owner, permissions, time and attributes. */
export interface Attributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly modifiedSeconds: number;
  readonly xattrs: ReadonlyMap<string, Buffer>;
}

interface Common {
  attributes: Attributes;
  /** The last layer that named it, or something below it. */
  layer: number;
}

export interface DirectoryNode extends Common {
  readonly kind: 'directory';
  readonly children: Map<string, TreeNode>;
}

/** A file may have several names. */
export interface FileNode extends Common {
  readonly kind: 'file';
  /** The number of its content. */
  readonly content: number;
  readonly sizeBytes: number;
  names: number;
}

export interface LinkNode extends Common {
  readonly kind: 'symlink';
  readonly target: string;
}

export interface SpecialNode extends Common {
  readonly kind: 'character' | 'block' | 'fifo';
  readonly major: number;
  readonly minor: number;
}

export type TreeNode = DirectoryNode | FileNode | LinkNode | SpecialNode;

/** Attributes of a directory that a layer needs and does not have. */
const PLAIN_DIRECTORY: Attributes = {
  mode: 0o755,
  uid: 0,
  gid: 0,
  modifiedSeconds: 0,
  xattrs: new Map(),
};

const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';
/** Other names that begin so belong to aufs itself. */
const AUFS = '.wh..wh.';
const NAME_BYTES_MAX = 255;
/** As many links of one path as Linux follows (path_resolution(7)). */
const LINKS_MAX = 40;

/** The tree that results from the layers so far. */
export class ImageTree {
  readonly root: DirectoryNode = directory(PLAIN_DIRECTORY, 0);
  /** Called with the number of a content that no name leads to any more. */
  readonly #discard: (content: number) => void;
  #layer = 0;
  #entries = 0;

  constructor(discard: (content: number) => void) {
    this.#discard = discard;
  }

  /** Whiteouts of the next layer concern what earlier layers have made. */
  beginLayer(): void {
    this.#layer += 1;
  }

  /**
   * Applies an entry. `content` is that of a file, and is discarded if the entry is refused. Throws TarInvalid for an
   * entry that would lead out of the tree, or that no file system could have.
   */
  apply(entry: TarEntry, content: number | null): void {
    this.#entries += 1;
    if (this.#entries > LIMITS.imageEntriesMax) {
      throw new TarInvalid(`has more than ${LIMITS.imageEntriesMax} entries`);
    }
    const parts = partsOf(entry.path);
    const name = parts.pop();
    const attributes = attributesOf(entry);
    if (name === undefined) {
      if (entry.kind !== 'directory')
        throw refused(entry.path, 'is in place of the root directory');
      this.root.attributes = attributes;
      return;
    }
    if (name.startsWith(WHITEOUT)) {
      this.#whiteOut(parts, name, entry.path);
      return;
    }
    // The target is looked up first: making the parent must not change what it means.
    const linked = entry.kind === 'hardlink' ? this.#linked(entry) : null;
    const parent = this.#directoryAt(parts, entry.path);
    if (linked !== null) this.#link(parent, name, linked, attributes);
    else this.#put(parent, name, this.#nodeOf(entry, attributes, content));
  }

  /** The directory at a path, which is made where it is missing. Links are followed within the tree. */
  makeDirectory(path: string): void {
    this.#directoryAt(partsOf(path), path);
  }

  /** What a path leads to, links followed within the tree; null if there is nothing. */
  find(path: string): TreeNode | null {
    return this.#walk(partsOf(path), path, false);
  }

  /** Puts a file of the builder's own at the root, whatever was there. */
  putFile(name: string, content: number, sizeBytes: number): void {
    const attributes = { ...PLAIN_DIRECTORY, mode: 0o644 };
    const { layer } = this.root;
    this.#put(this.root, name, { kind: 'file', attributes, layer, content, sizeBytes, names: 1 });
  }

  /** The number of nodes, the root included, and of blocks of this size that files and directories need. */
  measure(blockBytes: number): { readonly nodes: number; readonly blocks: number } {
    const seen = new Set<TreeNode>();
    let blocks = 0;
    const visit = (node: TreeNode): void => {
      if (seen.has(node)) return;
      seen.add(node);
      if (node.kind === 'file') blocks += Math.ceil(node.sizeBytes / blockBytes);
      if (node.kind === 'symlink') blocks += 1;
      if (node.attributes.xattrs.size > 0) blocks += 1;
      if (node.kind !== 'directory') return;
      // A directory entry has 8 bytes and the name, rounded up to 4; a block of names is rarely full.
      const bytes = [...node.children.keys()].reduce((sum, name) => sum + 12 + name.length, 24);
      blocks += 1 + Math.ceil((bytes * 2) / blockBytes);
      for (const child of node.children.values()) visit(child);
    };
    visit(this.root);
    return { nodes: seen.size, blocks };
  }

  #nodeOf(entry: TarEntry, attributes: Attributes, content: number | null): TreeNode {
    const common = { attributes, layer: this.#layer };
    const { kind, major, minor, target, sizeBytes } = entry;
    switch (kind) {
      case 'directory':
        return directory(attributes, this.#layer);
      case 'symlink':
        if (target === '' || target.length > LIMITS.imagePathBytesMax) {
          throw refused(entry.path, 'is a symbolic link without a usable target');
        }
        return { ...common, kind, target };
      case 'file':
        if (content === null) throw new TypeError('a file needs its content');
        return { ...common, kind, content, sizeBytes, names: 1 };
      case 'character':
      case 'block':
      case 'fifo':
        if (!isDeviceNumber(major, 0xfff) || !isDeviceNumber(minor, 0xfffff)) {
          throw refused(entry.path, 'is a device with numbers that Linux does not have');
        }
        return { ...common, kind, major, minor };
      case 'hardlink':
        throw new TypeError('a hard link is no node of its own');
    }
  }

  /** A directory that is there already gets the new attributes and keeps what is in it. Anything else is replaced. */
  #put(parent: DirectoryNode, name: string, node: TreeNode): void {
    const before = parent.children.get(name);
    if (before?.kind === 'directory' && node.kind === 'directory') {
      before.attributes = node.attributes;
      before.layer = this.#layer;
      return;
    }
    if (before !== undefined) this.#remove(parent, name, before);
    parent.children.set(name, node);
  }

  /** The node that a hard link means. The last part of its path is not followed, as in link(2). */
  #linked({ path, target }: TarEntry): TreeNode {
    const parts = partsOf(target);
    const found = this.#walk(parts, target, true);
    if (found === null) throw refused(path, `is a link to ${shown(target)}, which is not there`);
    if (found.kind === 'directory') throw refused(path, 'is a hard link to a directory');
    return found;
  }

  /** The entry of a hard link has the attributes of its file, and sets them, as in other programs. */
  #link(parent: DirectoryNode, name: string, node: TreeNode, attributes: Attributes): void {
    if (node.kind !== 'symlink') {
      const xattrs = attributes.xattrs.size > 0 ? attributes.xattrs : node.attributes.xattrs;
      node.attributes = { ...attributes, xattrs };
    }
    if (parent.children.get(name) === node) return;
    // Counted first: the name that it replaces may be the last one of the same content.
    if (node.kind === 'file') node.names += 1;
    node.layer = this.#layer;
    const before = parent.children.get(name);
    if (before !== undefined) this.#remove(parent, name, before);
    parent.children.set(name, node);
  }

  /** A whiteout concerns lower layers only, wherever it stands among the entries of its own. */
  #whiteOut(parts: readonly string[], name: string, path: string): void {
    if (name.startsWith(AUFS) && name !== OPAQUE) return;
    const parent = this.#walk(parts, path, false);
    if (parent?.kind !== 'directory') return;
    if (name === OPAQUE) {
      this.#prune(parent);
      return;
    }
    const hidden = name.slice(WHITEOUT.length);
    if (hidden === '' || hidden === '.' || hidden === '..') {
      throw refused(path, 'is a whiteout of no file');
    }
    const node = parent.children.get(hidden);
    if (node !== undefined) this.#pruneNode(parent, hidden, node);
  }

  #prune(parent: DirectoryNode): void {
    for (const [name, node] of parent.children) this.#pruneNode(parent, name, node);
  }

  #pruneNode(parent: DirectoryNode, name: string, node: TreeNode): void {
    if (node.layer < this.#layer) this.#remove(parent, name, node);
    else if (node.kind === 'directory') this.#prune(node);
  }

  #remove(parent: DirectoryNode, name: string, node: TreeNode): void {
    parent.children.delete(name);
    if (node.kind === 'directory') {
      for (const [inner, child] of node.children) this.#remove(node, inner, child);
    } else if (node.kind === 'file') {
      node.names -= 1;
      if (node.names === 0) this.#discard(node.content);
    }
  }

  #directoryAt(parts: readonly string[], path: string): DirectoryNode {
    const found = this.#walk(parts, path, false, true);
    if (found?.kind === 'directory') return found;
    throw refused(path, 'is below something that is no directory');
  }

  /**
   * Follows a path as chroot(2) would: ".." of the root is the root, and an absolute link begins there. With `make`,
   * missing directories are made, and all that lead to the path count as named by this layer.
   */
  #walk(parts: readonly string[], path: string, keepLast: boolean, make = false): TreeNode | null {
    const left = [...parts].reverse();
    const above: DirectoryNode[] = [];
    let links = 0;
    let at: TreeNode = this.root;
    for (let part = left.pop(); part !== undefined; part = left.pop()) {
      if (at.kind !== 'directory') return null;
      if (part === '..') {
        at = above.pop() ?? this.root;
        continue;
      }
      if (make) at.layer = this.#layer;
      const parent: DirectoryNode = at;
      const next = parent.children.get(part) ?? (make ? this.#newDirectory(parent, part) : null);
      if (next === null) return null;
      if (next.kind !== 'symlink' || (keepLast && left.length === 0)) {
        above.push(parent);
        at = next;
        continue;
      }
      links += 1;
      if (links > LINKS_MAX) throw refused(path, 'leads through links that run in a circle');
      if (next.target.startsWith('/')) {
        above.length = 0;
        at = this.root;
      }
      left.push(...namesIn(next.target).reverse());
      if (left.length > LIMITS.imagePathBytesMax)
        throw refused(path, 'leads through too many links');
    }
    if (make && at.kind === 'directory') at.layer = this.#layer;
    return at;
  }

  #newDirectory(parent: DirectoryNode, name: string): DirectoryNode {
    const made = directory(PLAIN_DIRECTORY, this.#layer);
    parent.children.set(name, made);
    return made;
  }
}

function directory(attributes: Attributes, layer: number): DirectoryNode {
  return { kind: 'directory', attributes, layer, children: new Map() };
}

/** The names of an entry's path. One that leads upwards is refused: no program that makes images writes it. */
function partsOf(path: string): string[] {
  if (path.length > LIMITS.imagePathBytesMax) {
    throw refused(path, `has more than ${LIMITS.imagePathBytesMax} bytes`);
  }
  const parts = namesIn(path);
  if (parts.includes('..')) throw refused(path, 'leads out of its directory with ".."');
  for (const part of parts) {
    if (part.length > NAME_BYTES_MAX)
      throw refused(path, `has a name of more than ${NAME_BYTES_MAX} bytes`);
  }
  return parts;
}

function namesIn(path: string): string[] {
  if (path.includes('\0')) throw refused(path, 'has a NUL in its path');
  return path.split('/').filter((part) => part !== '' && part !== '.');
}

function attributesOf({ mode, uid, gid, modifiedSeconds, xattrs, path }: TarEntry): Attributes {
  if (!Number.isInteger(mode)) throw refused(path, 'has no usable mode');
  return { mode, uid, gid, modifiedSeconds, xattrs };
}

function isDeviceNumber(number: number, most: number): boolean {
  return Number.isInteger(number) && number >= 0 && number <= most;
}

function refused(path: string, why: string): TarInvalid {
  return new TarInvalid(`has the entry ${shown(path)}, which ${why}`);
}

/** A path for messages: short, and without what could change a terminal. */
function shown(path: string): string {
  const text = Buffer.from(path, 'latin1').toString('utf8');
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}...` : text);
}
