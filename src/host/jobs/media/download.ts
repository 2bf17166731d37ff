// jobs, media: downloads images into a cache that is addressed by content: sha256/<digest>. An interrupted download
// resumes where it ended, also after a restart. A file gets its name only when it is complete and has the right
// checksum. The requests to the server are in image-server.ts.

import { createHash } from 'node:crypto';
import { link, mkdir, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LIMITS, type Limits } from '../../../config/limits.ts';
import type { MediaFacts } from '../../../engine/ports/media-ports.ts';
import { withoutSecrets } from '../../../lib/formats/image-location.ts';
import { readJson, syncDirectory } from '../durable.ts';
import { errnoOf, JobFault } from '../fault.ts';
import type { HostSettings, JobArgument } from '../protocol.ts';
import { DiskReservation } from './disk-space.ts';
import {
  asInterrupted,
  askServer,
  type Delivery,
  downloadFailed,
  IdleTimer,
  Interrupted,
  Unresumable,
} from './image-server.ts';
import { NO_VERSION, PartialFile, type Validators } from './partial.ts';

const PROGRESS_INTERVAL_MS = 500;
/** The free disk space is checked each time this much was written. */
const SPACE_CHECK_BYTES = 16 * 1024 * 1024;

/** The limits of a download. */
type DownloadLimits = Pick<
  Limits,
  | 'diskReserveBytes'
  | 'mediaAttemptsMax'
  | 'mediaBytesMax'
  | 'mediaIdleTimeoutMs'
  | 'mediaRetryPauseMs'
  | 'mediaTimeoutMs'
>;

/** The content that a URL had last. */
interface UrlRecord extends Validators {
  readonly digest: string;
}

interface Download {
  readonly url: string;
  /** The expected digest. null: any content is accepted. */
  readonly wanted: string | null;
  readonly settings: HostSettings;
  readonly partial: PartialFile;
  readonly urlRecordPath: string;
  readonly reservation: DiskReservation;
  readonly limits: DownloadLimits;
  /** Aborted when no caller waits any more, or when the download takes too long. */
  readonly signal: AbortSignal;
  readonly report: (receivedBytes: number, totalBytes: number | null) => void;
}

/** Returns the cached file with this digest; null when it is not cached. */
export function findCached({
  settings,
  digest,
}: JobArgument<'findCached'>): Promise<MediaFacts | null> {
  return cachedFile(settings, digest);
}

/**
 * Returns the file in the cache, after downloading it if necessary. Throws MEDIA_DOWNLOAD_FAILED,
 * MEDIA_CHECKSUM_MISMATCH, MEDIA_NOT_ALLOWED, DISK_SPACE_LOW. Any message through the port cancels the download.
 */
export async function fetchMedium(
  { settings, url, digest, progress }: JobArgument<'fetchMedium'>,
  limits: DownloadLimits = LIMITS,
): Promise<MediaFacts> {
  const end = new AbortController();
  progress.on('message', () => end.abort(downloadFailed(url, 'it was cancelled')));
  const timer = setTimeout(
    () => end.abort(downloadFailed(url, `it takes longer than ${limits.mediaTimeoutMs} ms`)),
    limits.mediaTimeoutMs,
  );
  const { cacheDirectory } = settings;
  const reservation = new DiskReservation(
    cacheDirectory,
    withoutSecrets(url),
    limits.diskReserveBytes,
  );
  let partial: PartialFile | undefined;
  try {
    for (const name of ['sha256', 'partial', 'urls']) {
      await mkdir(join(cacheDirectory, name), { recursive: true, mode: 0o700 });
    }
    // Downloads with different expected digests do not write into one file.
    const partialPath = join(cacheDirectory, 'partial', keyOf(`${digest ?? ''} ${url}`));
    partial = await PartialFile.open(partialPath, end.signal);
    const urlRecordPath = join(cacheDirectory, 'urls', `${keyOf(url)}.json`);
    const report = reporter((receivedBytes, totalBytes) =>
      progress.postMessage({ receivedBytes, totalBytes }),
    );
    const download = {
      url,
      wanted: digest,
      settings,
      partial,
      urlRecordPath,
      reservation,
      limits,
      signal: end.signal,
      report,
    };
    return await downloadOrReuse(download);
  } finally {
    clearTimeout(timer);
    reservation.release();
    await partial?.close();
    progress.close();
  }
}

async function downloadOrReuse(download: Download): Promise<MediaFacts> {
  const { url, wanted, settings, partial, urlRecordPath } = download;
  const urlRecord = wanted === null ? readUrlRecord(urlRecordPath) : null;
  const cached = urlRecord === null ? null : await cachedFile(settings, urlRecord.digest);
  for (;;) {
    const digest = await untilWhole(download, cached === null ? null : urlRecord);
    if (digest === null) {
      await partial.remove();
      if (cached !== null) return cached;
      throw downloadFailed(url, 'the server answered 304 to an unconditional request');
    }
    if (wanted === null || digest === wanted) return await settle(download, digest);
    // A resumed file may consist of two versions. Downloading it again from the first byte decides.
    if (!partial.resumed) {
      await partial.remove();
      const why = `${withoutSecrets(url)} has the SHA-256 ${digest}, not ${wanted}`;
      throw new JobFault('MEDIA_CHECKSUM_MISMATCH', why);
    }
    await partial.begin(NO_VERSION);
  }
}

/** Connects until the file is complete. Returns its digest, or null when the server's version is the known one. */
async function untilWhole(download: Download, known: UrlRecord | null): Promise<string | null> {
  const { url, partial, limits, signal } = download;
  let furthest = partial.bytes;
  let fruitless = 0;
  for (;;) {
    try {
      return await attempt(download, known);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof Interrupted)) throw error;
      // A connection may break any number of times as long as each one makes progress.
      fruitless = partial.bytes > furthest ? 0 : fruitless + 1;
      furthest = Math.max(furthest, partial.bytes);
      if (fruitless >= limits.mediaAttemptsMax) throw downloadFailed(url, error.message, error);
      if (error instanceof Unresumable) await partial.begin(NO_VERSION);
      const pauseMs = limits.mediaRetryPauseMs * 2 ** Math.max(0, fruitless - 1);
      await sleep(pauseMs, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}

/** Makes one connection that continues where the last one ended. */
async function attempt(download: Download, known: UrlRecord | null): Promise<string | null> {
  const { url, wanted, settings, partial, signal } = download;
  const { version, condition, bytes } = partial;
  const begun = condition === null || bytes === 0 ? null : { version, condition, bytes };
  const idle = new IdleTimer(download.limits.mediaIdleTimeoutMs);
  try {
    const isChecked = wanted !== null;
    const { mediaHosts: hosts, outbound } = settings;
    const request = { url, hosts, outbound, known, begun, isChecked };
    const delivery = await askServer(request, AbortSignal.any([signal, idle.signal]));
    if (delivery === 'unchanged') return null;
    if (delivery.offset === 0) await partial.begin(delivery.version);
    else partial.resume();
    await receive(download, delivery, () => idle.refresh());
    return await partial.finish();
  } catch (error) {
    throw asInterrupted(url, error);
  } finally {
    idle.stop();
  }
}

async function receive(
  { url, partial, reservation, limits, report }: Download,
  { body, endBytes, version: { totalBytes } }: Delivery,
  alive: () => void,
): Promise<void> {
  const requireSize = async (bytes: number) => {
    if (bytes <= limits.mediaBytesMax) return;
    await partial.remove();
    throw downloadFailed(url, `it is larger than ${limits.mediaBytesMax} bytes`);
  };
  await requireSize(totalBytes ?? 0);
  let checkedAtBytes = Number.NEGATIVE_INFINITY;
  const checkSpace = () => {
    if (partial.bytes - checkedAtBytes < SPACE_CHECK_BYTES) return;
    checkedAtBytes = partial.bytes;
    reservation.require(totalBytes === null ? 0 : totalBytes - partial.bytes);
  };
  checkSpace();
  report(partial.bytes, totalBytes);
  for await (const piece of body) {
    alive();
    if (partial.bytes + piece.length > (endBytes ?? Number.POSITIVE_INFINITY)) {
      throw new Unresumable('the server sent more than it had announced');
    }
    await requireSize(partial.bytes + piece.length);
    await partial.append(piece);
    checkSpace();
    report(partial.bytes, totalBytes);
  }
  if (totalBytes !== null && partial.bytes < totalBytes) {
    throw new Interrupted('the connection broke');
  }
  if (partial.bytes === 0) throw downloadFailed(url, 'the server sent an empty file');
}

/** Gives the file its name in the cache, and records which URL it came from. */
async function settle(
  { settings, partial, urlRecordPath }: Download,
  digest: string,
): Promise<MediaFacts> {
  const path = cachePath(settings, digest);
  try {
    await link(partial.path, path);
  } catch (error) {
    // The content is cached already. That file stays, because disks are based on it.
    if (errnoOf(error) !== 'EEXIST') throw error;
  }
  const { etag, lastModified } = partial.version;
  const urlRecord: UrlRecord = { etag, lastModified, digest };
  await partial.remove();
  await recordUse(path);
  syncDirectory(join(settings.cacheDirectory, 'sha256'));
  await writeFile(urlRecordPath, JSON.stringify(urlRecord), { mode: 0o600 });
  return factsOf(path);
}

async function cachedFile(settings: HostSettings, digest: string): Promise<MediaFacts | null> {
  const path = cachePath(settings, digest);
  try {
    await recordUse(path);
    return await factsOf(path);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw error;
  }
}

async function factsOf(path: string): Promise<MediaFacts> {
  return { realPath: path, sizeBytes: (await stat(path)).size };
}

/**
 * Sets the access time, by which the cache is trimmed. The modification time is set by the same call and must not
 * change, because disks identify their image by it. Whole seconds are exact.
 */
async function recordUse(path: string): Promise<void> {
  const { mtimeMs } = await stat(path);
  await utimes(path, Date.now() / 1000, Math.floor(mtimeMs / 1000));
}

export function cachePath({ cacheDirectory }: HostSettings, digest: string): string {
  return join(cacheDirectory, 'sha256', digest);
}

/** A file that a power failure left incomplete counts as missing. */
function readUrlRecord(path: string): UrlRecord | null {
  try {
    return readJson(path) as UrlRecord | null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

function keyOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Limits progress reports to one per interval. The first one is immediate. */
function reporter(report: Download['report']): Download['report'] {
  let reportedAtMs = Number.NEGATIVE_INFINITY;
  return (receivedBytes, totalBytes) => {
    const nowMs = performance.now();
    if (nowMs - reportedAtMs < PROGRESS_INTERVAL_MS) return;
    reportedAtMs = nowMs;
    report(receivedBytes, totalBytes);
  };
}
