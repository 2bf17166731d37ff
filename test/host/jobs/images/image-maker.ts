// test helper: makes container images of hand-made layers: tar entries with any header, and an OCI layout of them.

import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const BLOCK = 512;

export interface Entry {
  readonly path: string;
  /** The type flag of tar; '0' (a file) if absent. */
  readonly type?: string;
  readonly content?: Buffer | string;
  readonly target?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  readonly device?: readonly [number, number];
  /** Records of a pax header in front of the entry. */
  readonly pax?: Readonly<Record<string, string | Buffer>>;
  /** Instead of the length of the content. */
  readonly size?: number;
}

const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits - 1, '0')}\0`;

/** The bytes of one entry. */
export function tarEntry(entry: Entry): Buffer {
  const content = Buffer.from(entry.content ?? '');
  const header = Buffer.alloc(BLOCK);
  const put = (text: string, at: number) => header.write(text, at, 'utf8');
  const path = Buffer.from(entry.path);
  const needsLongName = path.length > 100;
  header.set(path.subarray(0, 100), 0);
  put(octal(entry.mode ?? 0o644, 8), 100);
  put(octal(entry.uid ?? 0, 8), 108);
  put(octal(entry.gid ?? 0, 8), 116);
  put(octal(entry.size ?? content.length, 12), 124);
  put(octal(entry.mtime ?? 1_600_000_000, 12), 136);
  put('        ', 148);
  put(entry.type ?? '0', 156);
  put((entry.target ?? '').slice(0, 100), 157);
  put('ustar\x0000', 257);
  if (entry.device !== undefined) {
    put(octal(entry.device[0], 8), 329);
    put(octal(entry.device[1], 8), 337);
  }
  const sum = header.reduce((total, byte) => total + byte, 0);
  put(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  const pax = { ...(needsLongName ? { path: entry.path } : {}), ...entry.pax };
  const before = Object.keys(pax).length === 0 ? [] : [paxHeader(pax)];
  return Buffer.concat([...before, header, padded(content)]);
}

function paxHeader(records: Readonly<Record<string, string | Buffer>>): Buffer {
  const content = Buffer.concat(
    Object.entries(records).map(([key, value]) => {
      const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from('\n')]);
      let length = rest.length;
      while (String(length).length + rest.length !== length) {
        length = String(length).length + rest.length;
      }
      return Buffer.concat([Buffer.from(String(length)), rest]);
    }),
  );
  return tarEntry({ path: 'PaxHeaders/x', type: 'x', content });
}

function padded(content: Buffer): Buffer {
  const padding = (BLOCK - (content.length % BLOCK)) % BLOCK;
  return Buffer.concat([content, Buffer.alloc(padding)]);
}

export const END = Buffer.alloc(2 * BLOCK);

/** A whole archive. */
export function tar(...entries: readonly (Entry | Buffer)[]): Buffer {
  const bytes = entries.map((entry) => (Buffer.isBuffer(entry) ? entry : tarEntry(entry)));
  return Buffer.concat([...bytes, END]);
}

export const directory = (path: string, more: Partial<Entry> = {}): Entry => ({
  path,
  type: '5',
  mode: 0o755,
  ...more,
});

export const sha256 = (bytes: string | Uint8Array) =>
  createHash('sha256').update(bytes).digest('hex');

export interface LayerSpec {
  readonly tar: Buffer;
  /** As it is transferred; the tar itself if absent. */
  readonly packed?: Buffer;
  readonly mediaType?: string;
}

export interface ImageSpec {
  readonly layers: readonly LayerSpec[];
  /** The `config` member of the config: Entrypoint, Env and so on. */
  readonly config?: object;
  readonly architecture?: string;
  /** The other platforms of an index. */
  readonly others?: readonly string[];
  readonly isIndex?: boolean;
  /** Changes documents before they are written. */
  readonly change?: (document: Record<string, unknown>, what: 'config' | 'manifest') => void;
}

const OCI = 'application/vnd.oci.image';

/** Writes an OCI layout. Returns the digest of the manifest of this platform, and of the index if there is one. */
export function writeLayout(
  path: string,
  spec: ImageSpec,
): { readonly digest: string; readonly index: string | null; readonly blobs: string[] } {
  const blobs: string[] = [];
  mkdirSync(join(path, 'blobs/sha256'), { recursive: true });
  const add = (bytes: Buffer) => {
    const hex = sha256(bytes);
    writeFileSync(join(path, 'blobs/sha256', hex), bytes);
    blobs.push(hex);
    return { digest: `sha256:${hex}`, size: bytes.length };
  };
  const addJson = (document: Record<string, unknown>, what: 'config' | 'manifest') => {
    spec.change?.(document, what);
    return add(Buffer.from(JSON.stringify(document)));
  };
  const layers = spec.layers.map(({ tar: content, packed, mediaType }) => ({
    mediaType: mediaType ?? `${OCI}.layer.v1.tar`,
    ...add(packed ?? content),
  }));
  const config = {
    architecture: spec.architecture ?? 'amd64',
    os: 'linux',
    config: spec.config ?? {},
    rootfs: {
      type: 'layers',
      diff_ids: spec.layers.map(({ tar: content }) => `sha256:${sha256(content)}`),
    },
  };
  const manifest = {
    schemaVersion: 2,
    mediaType: `${OCI}.manifest.v1+json`,
    config: { mediaType: `${OCI}.config.v1+json`, ...addJson(config, 'config') },
    layers,
  };
  const described = { mediaType: manifest.mediaType, ...addJson(manifest, 'manifest') };
  const platform = (name: string) => {
    const [os, architecture, variant] = name.split('/');
    return { os, architecture, ...(variant === undefined ? {} : { variant }) };
  };
  let top: Record<string, unknown> = described;
  if (spec.isIndex === true) {
    // The same layers under another name: a registry takes an index only with all that it names.
    const entries = (spec.others ?? []).map((name) => {
      const named = platform(name);
      const otherConfig = add(Buffer.from(JSON.stringify({ ...config, ...named })));
      const other = { ...manifest, config: { ...manifest.config, ...otherConfig } };
      const otherManifest = add(Buffer.from(JSON.stringify(other)));
      return { mediaType: manifest.mediaType, ...otherManifest, platform: named };
    });
    const own = { ...described, platform: platform(`linux/${spec.architecture ?? 'amd64'}`) };
    const index = {
      schemaVersion: 2,
      mediaType: `${OCI}.index.v1+json`,
      manifests: [...entries, own],
    };
    top = { mediaType: index.mediaType, ...add(Buffer.from(JSON.stringify(index))) };
  }
  writeFileSync(join(path, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(join(path, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [top] }));
  const index = spec.isIndex === true ? String(top['digest']) : null;
  return { digest: described.digest, index, blobs };
}
