// test helper: a cache for one test, the job that provides images, and what is in the images that it makes.

import { spawnSync } from 'node:child_process';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { LIMITS } from '../../../../src/config/limits.ts';
import { NO_REGISTRIES } from '../../../../src/config/registries.ts';
import { faultOf } from '../../../../src/host/jobs/fault.ts';
import { fetchImage, type ImageLimits } from '../../../../src/host/jobs/images/provide-image.ts';
import { unpackImage } from '../../../../src/host/jobs/images/unpack-image.ts';
import type { HostSettings } from '../../../../src/host/jobs/protocol.ts';
import { DIRECT } from '../../../../src/lib/net/proxy.ts';
import { type ImageSpec, type LayerSpec, sha256, writeLayout } from './image-maker.ts';

export const NO_SETTINGS = {
  entrypoint: [],
  command: [],
  env: {},
  user: '',
  workdir: '',
  exposed_ports: [],
  volumes: [],
  labels: {},
  stop_signal: 'SIGTERM',
};

/** A home with a cache and an allowed directory for images. */
export function workshop(t: TestContext, changes: Partial<HostSettings> = {}) {
  const home = mkdtempSync(join(tmpdir(), 'volant-oci-'));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  const images = join(home, 'images');
  mkdirSync(images);
  const settings = {
    cacheDirectory: join(home, 'cache'),
    diskDirectory: join(home, 'disks'),
    cacheBytesMax: 2 ** 30,
    mediaDirectories: [images],
    mediaHosts: ['127.0.0.1', 'localhost'],
    outbound: DIRECT,
    registries: NO_REGISTRIES,
    isolation: 'off',
    hypervisor: 'simulator',
    bootInitramfs: '',
    ...changes,
  } as unknown as HostSettings;
  mkdirSync(settings.cacheDirectory);
  const progress: { receivedBytes: number; totalBytes: number | null }[] = [];
  const provide = async (
    image: string,
    {
      digest = null,
      refresh = false,
      limits,
    }: {
      digest?: string | null;
      refresh?: boolean;
      limits?: Partial<ImageLimits>;
    } = {},
  ) => {
    const { port1, port2 } = new MessageChannel();
    port2.on('message', (one) => progress.push(one));
    try {
      const argument = { settings, image, digest, refresh, progress: port1 };
      return await fetchImage(argument, { ...LIMITS, ...limits });
    } finally {
      port2.close();
    }
  };
  const layout = (spec: ImageSpec, name = 'image') => {
    const path = join(images, name);
    return { reference: `oci:${path}`, path, ...writeLayout(path, spec) };
  };
  return { home, images, settings, provide, layout, progress };
}

/** Code and message of the error with which the work ends. */
export async function failureOf(
  work: Promise<unknown>,
): Promise<{ code: string; message: string }> {
  try {
    await work;
  } catch (error) {
    const outcome = faultOf(error, 'fetchImage');
    if (!outcome.ok) return { code: outcome.fault.code, message: outcome.fault.message };
  }
  throw new Error('it succeeded');
}

/** Unpacks layers as the job does. Returns the directory that the root disk was made of, and the disk. */
export async function unpacked(
  t: TestContext,
  layers: readonly LayerSpec[],
  {
    bytesMax = 2 ** 30,
    image = NO_SETTINGS,
  }: { bytesMax?: number; image?: typeof NO_SETTINGS } = {},
): Promise<{ readonly root: string; readonly disk: string }> {
  const work = mkdtempSync(join(tmpdir(), 'volant-unpack-'));
  t.after(() => rmSync(work, { recursive: true, force: true }));
  const disk = join(work, 'disk');
  await unpackImage({
    work,
    disk,
    layers: layers.map(({ tar, packed = tar }) => {
      const path = join(work, sha256(packed));
      writeFileSync(path, packed);
      return { path, digest: sha256(packed), contentDigest: sha256(tar) };
    }),
    image,
    bytesMax,
    requireSpace: () => undefined,
    signal: AbortSignal.timeout(120_000),
  });
  return { root: join(work, 'root'), disk };
}

/** Everything in a directory, by path: kind, mode, owner, size, target, digest, and which names are one file. */
export function listing(root: string): Record<string, string> {
  const found: Record<string, string> = {};
  const inodes = new Map<number, string>();
  const visit = (path: string) => {
    const facts = lstatSync(join(root, path));
    const kind = facts.isDirectory()
      ? 'directory'
      : facts.isSymbolicLink()
        ? `link to ${readlinkSync(join(root, path))}`
        : facts.isFile()
          ? `file ${facts.size} ${sha256(readFileSync(join(root, path))).slice(0, 12)}`
          : `node ${facts.mode & 0o170000} ${facts.rdev}`;
    const first = facts.isDirectory() ? undefined : inodes.get(facts.ino);
    if (first === undefined) inodes.set(facts.ino, path);
    const mode = facts.isSymbolicLink() ? '' : (facts.mode & 0o7777).toString(8);
    const seconds = facts.isDirectory() && path === '/' ? '' : Math.floor(facts.mtimeMs / 1000);
    const same = first === undefined ? '' : ` same as ${first}`;
    found[path] = `${kind} ${mode} ${facts.uid}:${facts.gid} ${seconds}${same}`;
    if (!facts.isDirectory()) return;
    for (const name of readdirSync(join(root, path)).sort()) visit(join(path, name));
  };
  visit('/');
  delete found['/.volant-image.json'];
  return found;
}

/** What debugfs says of a root disk. */
export function debugfs(disk: string, request: string): string {
  return spawnSync('debugfs', ['-R', request, disk], { encoding: 'utf8' }).stdout;
}
