// workers, job: images from the network into a cache by content: sha256/<digest>. A download that was
// cut goes on where it ended, also after a restart; what is not whole and right never gets its name.

import { createHash, type Hash } from 'node:crypto';
import { createReadStream, existsSync, statfsSync } from 'node:fs';
import {
  type FileHandle,
  mkdir,
  open,
  readFile,
  rename,
  rm,
  stat,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LIMITS } from '../../config.ts';
import type { MediaFacts } from '../../engine/ports.ts';
import { digestIn } from '../../lib/digest.ts';
import type { HostSettings, JobArgument } from '../protocol.ts';
import { errnoOf, JobFault } from './fault.ts';

const REDIRECTS_MAX = 5;
const PROGRESS_INTERVAL_MS = 500;
/** Statuses after which another try may succeed. */
const TRANSIENT = new Set([408, 425, 429, 500, 502, 503, 504]);

/** What the server said about a version of the file: enough to ask for the rest of it. */
interface Validators {
  readonly etag: string | null;
  readonly lastModified: string | null;
}

interface Note extends Validators {
  readonly digest: string;
}

interface Download {
  readonly url: string;
  readonly settings: HostSettings;
  readonly partialPath: string;
  readonly notePath: string;
  readonly tell: (receivedBytes: number, totalBytes: number | null) => void;
}

/** Another try may help. */
class Interrupted extends Error {}

/** The file in the cache, downloaded unless it is there. MEDIA_DOWNLOAD_FAILED, MEDIA_CHECKSUM_MISMATCH, DISK_SPACE_LOW. */
export async function fetchMedium({
  settings,
  url,
  checksum,
  progress,
}: JobArgument<'fetchMedium'>): Promise<MediaFacts> {
  const wanted = checksum === null ? null : digestIn(checksum);
  if (wanted !== null) {
    const cached = await cachedFile(settings, wanted);
    if (cached !== null) return cached;
  }
  const { cacheDirectory } = settings;
  for (const name of ['sha256', 'partial', 'urls']) {
    await mkdir(join(cacheDirectory, name), { recursive: true, mode: 0o700 });
  }
  const keyOf = (text: string) => createHash('sha256').update(text).digest('hex');
  const download: Download = {
    url,
    settings,
    // Two that expect different contents do not write into one file.
    partialPath: join(cacheDirectory, 'partial', keyOf(`${wanted ?? ''} ${url}`)),
    notePath: join(cacheDirectory, 'urls', `${keyOf(url)}.json`),
    tell: reporter((receivedBytes, totalBytes) =>
      progress.postMessage({ receivedBytes, totalBytes }),
    ),
  };
  try {
    return await downloadOrReuse(download, wanted);
  } finally {
    progress.close();
  }
}

async function downloadOrReuse(download: Download, wanted: string | null): Promise<MediaFacts> {
  const note = wanted === null ? await readNote<Note>(download.notePath) : null;
  const cached = note === null ? null : await cachedFile(download.settings, note.digest);
  for (let attempt = 1; ; attempt += 1) {
    try {
      const result = await attemptDownload(download, cached === null ? null : note);
      if (result === 'unchanged' && cached !== null) return cached;
      if (result === 'unchanged') throw failed(download.url, 'the server says 304 without cause');
      return await settle(download, result, wanted);
    } catch (error) {
      if (!(error instanceof Interrupted)) throw error;
      if (attempt >= LIMITS.mediaAttemptsMax) throw failed(download.url, error.message, error);
      await sleep(LIMITS.mediaRetryPauseMs * 2 ** (attempt - 1));
    }
  }
}

/** One connection, from where the last one ended. */
async function attemptDownload(
  download: Download,
  note: Note | null,
): Promise<'unchanged' | { readonly digest: string; readonly validators: Validators }> {
  const { url, partialPath } = download;
  const partial = await resumable(partialPath);
  const deadline = new AbortController();
  const idle = setTimeout(
    () => deadline.abort(new Interrupted('the server fell silent')),
    LIMITS.mediaIdleTimeoutMs,
  );
  try {
    const response = await request(download, headersFor(note, partial), deadline.signal);
    if (response.status === 304) return 'unchanged';
    const resumes =
      response.status === 206 &&
      partial !== null &&
      response.headers.get('content-range')?.startsWith(`bytes ${partial.size}-`) === true;
    if (!resumes && response.status !== 200) {
      const problem = `the server answered ${response.status}`;
      if (response.status === 416) await rm(partialPath, { force: true });
      if (TRANSIENT.has(response.status) || response.status === 416) throw new Interrupted(problem);
      throw failed(url, problem);
    }
    const validators = validatorsOf(response);
    const hash = createHash('sha256');
    const offset = resumes ? await hashFile(hash, partialPath) : 0;
    await writeFile(`${partialPath}.json`, JSON.stringify(validators));
    const file = await open(partialPath, resumes ? 'a' : 'w', 0o600);
    try {
      await receive(download, response, { file, hash, offset, alive: () => idle.refresh() });
      await file.sync();
    } finally {
      await file.close();
    }
    return { digest: hash.digest('hex'), validators };
  } catch (error) {
    throw asInterrupted(error);
  } finally {
    clearTimeout(idle);
    deadline.abort();
  }
}

async function receive(
  { url, settings, tell }: Download,
  response: Response,
  to: { file: FileHandle; hash: Hash; offset: number; alive: () => void },
): Promise<void> {
  const rest = Number(response.headers.get('content-length') ?? Number.NaN);
  // The length of a body that is packed for the way says nothing about the file.
  const isPlain = response.headers.get('content-encoding') === null;
  const totalBytes = isPlain && Number.isFinite(rest) ? to.offset + rest : null;
  requireRoom(url, settings, totalBytes ?? 0, to.offset);
  let received = to.offset;
  tell(received, totalBytes);
  for await (const piece of response.body ?? []) {
    to.alive();
    received += piece.length;
    if (received > LIMITS.mediaBytesMax) throw failed(url, 'the file is too large');
    if (totalBytes === null) requireRoom(url, settings, received, received);
    to.hash.update(piece);
    await to.file.write(piece);
    tell(received, totalBytes);
  }
  if (totalBytes !== null && received < totalBytes) throw new Interrupted('the connection was cut');
}

/** Gives the file its name, and remembers which address it came from. */
async function settle(
  { url, settings, partialPath, notePath }: Download,
  { digest, validators }: { readonly digest: string; readonly validators: Validators },
  wanted: string | null,
): Promise<MediaFacts> {
  await rm(`${partialPath}.json`, { force: true });
  if (wanted !== null && digest !== wanted) {
    await rm(partialPath, { force: true });
    const why = `${url} has the SHA-256 ${digest}, not ${wanted}`;
    throw new JobFault('MEDIA_CHECKSUM_MISMATCH', why);
  }
  const path = cachePath(settings, digest);
  // The same content from another address, or again: disks know the file that is there.
  if (existsSync(path)) await rm(partialPath);
  else await rename(partialPath, path);
  await noteUse(path);
  await syncDirectory(join(settings.cacheDirectory, 'sha256'));
  await writeFile(notePath, JSON.stringify({ ...validators, digest } satisfies Note));
  return { realPath: path, sizeBytes: (await stat(path)).size };
}

function headersFor(note: Note | null, partial: Validators | null): Headers {
  const headers = new Headers({ 'accept-encoding': 'identity' });
  if (note?.etag) headers.set('if-none-match', note.etag);
  else if (note?.lastModified) headers.set('if-modified-since', note.lastModified);
  const version = partial?.etag ?? partial?.lastModified;
  if (note === null && version) {
    headers.set('if-range', version);
    headers.set('range', `bytes=${(partial as Validators & { size: number }).size}-`);
  }
  return headers;
}

/** Redirects are followed here, so that none leads to a host that is not allowed. */
async function request(
  download: Download,
  headers: Headers,
  signal: AbortSignal,
): Promise<Response> {
  let url = new URL(download.url);
  for (let count = 0; count <= REDIRECTS_MAX; count += 1) {
    requireHost(url, download.settings.mediaHosts);
    const response = await fetch(url, { headers, signal, redirect: 'manual' });
    const location = response.headers.get('location');
    if (response.status < 300 || response.status > 399 || location === null) return response;
    await response.body?.cancel();
    url = new URL(location, url);
  }
  throw failed(download.url, `more than ${REDIRECTS_MAX} redirects`);
}

function requireHost(url: URL, allowed: readonly string[]): void {
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw failed(url.href, 'only http and https are fetched');
  }
  if (allowed.length === 0 || allowed.includes(url.hostname.toLowerCase())) return;
  const why = `${url.hostname} is not among the hosts of VOLANT_MEDIA_HOSTS`;
  throw new JobFault('MEDIA_NOT_ALLOWED', why);
}

async function resumable(partialPath: string): Promise<(Validators & { size: number }) | null> {
  const validators = await readNote<Validators>(`${partialPath}.json`);
  if (validators === null || (validators.etag === null && validators.lastModified === null)) {
    return null;
  }
  // A weak validator does not promise the same bytes (RFC 9110, 13.1.5).
  if (validators.etag?.startsWith('W/')) return null;
  try {
    const { size } = await stat(partialPath);
    return size === 0 ? null : { ...validators, size };
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw error;
  }
}

function validatorsOf({ headers }: Response): Validators {
  return { etag: headers.get('etag'), lastModified: headers.get('last-modified') };
}

async function cachedFile(settings: HostSettings, digest: string): Promise<MediaFacts | null> {
  const path = cachePath(settings, digest);
  if (!existsSync(path)) return null;
  await noteUse(path);
  return { realPath: path, sizeBytes: (await stat(path)).size };
}

/**
 * What was used last is removed last. The other time is set with it, and must stay the same to the bit:
 * disks know their image by it. Whole seconds do.
 */
async function noteUse(path: string): Promise<void> {
  const { mtimeMs } = await stat(path);
  await utimes(path, Date.now() / 1000, Math.floor(mtimeMs / 1000));
}

export function cachePath({ cacheDirectory }: HostSettings, digest: string): string {
  return join(cacheDirectory, 'sha256', digest);
}

function requireRoom(
  url: string,
  { cacheDirectory }: HostSettings,
  neededBytes: number,
  haveBytes: number,
): void {
  const { bavail, bsize } = statfsSync(cacheDirectory);
  const missing = neededBytes - haveBytes + LIMITS.diskReserveBytes - bavail * bsize;
  if (missing <= 0) return;
  const mebibytes = Math.ceil(missing / 2 ** 20);
  throw new JobFault(
    'DISK_SPACE_LOW',
    `${url} does not fit on the disk: ${mebibytes} MiB are missing`,
  );
}

async function hashFile(hash: Hash, path: string): Promise<number> {
  let bytes = 0;
  for await (const piece of createReadStream(path)) {
    hash.update(piece as Buffer);
    bytes += (piece as Buffer).length;
  }
  return bytes;
}

async function readNote<T>(path: string): Promise<T | null> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as T;
  } catch (error) {
    // A note that was cut off by a power failure is worth as much as none.
    if (errnoOf(error) === 'ENOENT' || error instanceof SyntaxError) return null;
    throw error;
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** fetch rejects with a TypeError when the network fails, and with the reason of an abort. */
function asInterrupted(error: unknown): unknown {
  if (!(error instanceof TypeError)) return error;
  const cause = error.cause instanceof Error ? error.cause.message : error.message;
  return new Interrupted(cause);
}

function failed(url: string, why: string, cause?: unknown): JobFault {
  return new JobFault('MEDIA_DOWNLOAD_FAILED', `${url} cannot be downloaded: ${why}`, cause);
}

/** At most one report in an interval, and the first at once. */
function reporter(tell: Download['tell']): Download['tell'] {
  let toldAtMs = Number.NEGATIVE_INFINITY;
  return (receivedBytes, totalBytes) => {
    const nowMs = performance.now();
    if (nowMs - toldAtMs < PROGRESS_INTERVAL_MS) return;
    toldAtMs = nowMs;
    tell(receivedBytes, totalBytes);
  };
}
