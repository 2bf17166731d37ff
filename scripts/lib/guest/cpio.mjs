// scripts: writes a cpio archive in the "newc" format, which Linux unpacks as its initramfs
// (Documentation/driver-api/early-userspace/buffer-format.rst). The same entries always give the same bytes: sorted, owned
// by root, without times.

const TYPE = { file: 0o100000, directory: 0o040000, link: 0o120000, character: 0o020000 };
const BYTES_MAX = 0xffffffff;

/**
 * The archive, as pieces to be written one after the other. `entries` maps a path without a leading
 * slash to one of
 *   { type: 'file', mode, content: Buffer }   { type: 'link', target }
 *   { type: 'directory', mode }               { type: 'character', mode, major, minor }
 * Directories that lead to an entry are made where they are missing.
 */
export function* writeCpio(entries) {
  const complete = new Map(entries);
  for (const path of entries.keys()) {
    for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1)) {
      const parent = path.slice(0, at);
      if (!complete.has(parent)) complete.set(parent, { type: 'directory', mode: 0o755 });
    }
  }
  let inode = 1;
  // Code-unit order puts a directory before its content, which the kernel requires.
  for (const path of [...complete.keys()].sort()) {
    yield* record(path, complete.get(path), inode++);
  }
  yield* record('TRAILER!!!', { type: 'end' }, 0);
}

function* record(path, entry, inode) {
  const content =
    entry.type === 'link' ? Buffer.from(entry.target) : (entry.content ?? Buffer.alloc(0));
  if (content.length > BYTES_MAX) throw new Error(`${path} is too large for a cpio archive`);
  const mode = entry.type === 'end' ? 0 : TYPE[entry.type] | (entry.mode ?? 0o777);
  const name = Buffer.from(`${path}\0`);
  const fields = [
    inode,
    mode,
    0, // uid
    0, // gid
    entry.type === 'directory' ? 2 : 1,
    0, // mtime
    content.length,
    0, // device of the file itself
    0,
    entry.major ?? 0,
    entry.minor ?? 0,
    name.length,
    0, // checksum, unused in this format
  ];
  const head = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
  yield padded(Buffer.concat([Buffer.from(head), name]));
  if (content.length > 0) yield padded(content);
}

function padded(bytes) {
  const missing = (4 - (bytes.length % 4)) % 4;
  return missing === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(missing)]);
}
