// workers, job: images from the network into a cache by content: sha256/<digest>. A download that was
// cut goes on where it ended, also after a restart; what is not whole and right never gets its name.

import { createHash } from 'node:crypto';
import { link, mkdir, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LIMITS } from '../../config.ts';
import type { MediaFacts } from '../../engine/media-ports.ts';
import { withoutSecrets } from '../../lib/image-location.ts';
import type { HostSettings, JobArgument } from '../protocol.ts';
import { readJson, syncDirectory } from './durable.ts';
import { errnoOf, JobFault } from './fault.ts';
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
import { Room } from './room.ts';

const PROGRESS_INTERVAL_MS = 500;
/** So much is written between two looks at the room that is left. */
const ROOM_CHECK_BYTES = 16 * 1024 * 1024;

/** Which content an address had last. */
interface Note extends Validators {
  readonly digest: string;
}

interface Download {
  readonly url: string;
  /** The digest that it must have; null when any content will do. */
  readonly wanted: string | null;
  readonly settings: HostSettings;
  readonly partial: PartialFile;
  readonly notePath: string;
  readonly room: Room;
  /** Aborted when nobody waits any more, and when all of it has taken too long. */
  readonly signal: AbortSignal;
  readonly tell: (receivedBytes: number, totalBytes: number | null) => void;
}

/** The file of the cache with this content; null when it is not there. */
export function findCached({
  settings,
  digest,
}: JobArgument<'findCached'>): Promise<MediaFacts | null> {
  return cachedFile(settings, digest);
}

/**
 * The file in the cache, downloaded unless it is there. MEDIA_DOWNLOAD_FAILED, MEDIA_CHECKSUM_MISMATCH,
 * MEDIA_NOT_ALLOWED, DISK_SPACE_LOW. It ends when anything comes through the port.
 */
export async function fetchMedium({
  settings,
  url,
  digest,
  progress,
}: JobArgument<'fetchMedium'>): Promise<MediaFacts> {
  const end = new AbortController();
  progress.on('message', () => end.abort(downloadFailed(url, 'nobody waits for it any more')));
  const timer = setTimeout(
    () => end.abort(downloadFailed(url, `it takes longer than ${LIMITS.mediaTimeoutMs} ms`)),
    LIMITS.mediaTimeoutMs,
  );
  const { cacheDirectory } = settings;
  const room = new Room(cacheDirectory, withoutSecrets(url));
  let partial: PartialFile | undefined;
  try {
    for (const name of ['sha256', 'partial', 'urls']) {
      await mkdir(join(cacheDirectory, name), { recursive: true, mode: 0o700 });
    }
    // Two that expect different contents do not write into one file.
    const partialPath = join(cacheDirectory, 'partial', keyOf(`${digest ?? ''} ${url}`));
    partial = await PartialFile.open(partialPath, end.signal);
    const notePath = join(cacheDirectory, 'urls', `${keyOf(url)}.json`);
    const tell = reporter((receivedBytes, totalBytes) =>
      progress.postMessage({ receivedBytes, totalBytes }),
    );
    const download = {
      url,
      wanted: digest,
      settings,
      partial,
      notePath,
      room,
      signal: end.signal,
      tell,
    };
    return await downloadOrReuse(download);
  } finally {
    clearTimeout(timer);
    room.release();
    await partial?.close();
    progress.close();
  }
}

async function downloadOrReuse(download: Download): Promise<MediaFacts> {
  const { url, wanted, settings, partial, notePath } = download;
  const note = wanted === null ? readNote(notePath) : null;
  const cached = note === null ? null : await cachedFile(settings, note.digest);
  for (;;) {
    const digest = await untilWhole(download, cached === null ? null : note);
    if (digest === null) {
      await partial.remove();
      if (cached !== null) return cached;
      throw downloadFailed(url, 'the server says 304 without cause');
    }
    if (wanted === null || digest === wanted) return await settle(download, digest);
    // Pieces of two versions may have been put together: a whole one from the first byte tells.
    if (!partial.resumed) {
      await partial.remove();
      const why = `${withoutSecrets(url)} has the SHA-256 ${digest}, not ${wanted}`;
      throw new JobFault('MEDIA_CHECKSUM_MISMATCH', why);
    }
    await partial.begin(NO_VERSION);
  }
}

/** Connections until the file is whole; its digest, or null when the server has nothing newer. */
async function untilWhole(download: Download, known: Note | null): Promise<string | null> {
  const { url, partial, signal } = download;
  let furthest = partial.bytes;
  let fruitless = 0;
  for (;;) {
    try {
      return await attempt(download, known);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof Interrupted)) throw error;
      // However often a line breaks: as long as each connection brings something the end comes nearer.
      fruitless = partial.bytes > furthest ? 0 : fruitless + 1;
      furthest = Math.max(furthest, partial.bytes);
      if (fruitless >= LIMITS.mediaAttemptsMax) throw downloadFailed(url, error.message, error);
      if (error instanceof Unresumable) await partial.begin(NO_VERSION);
      const pauseMs = LIMITS.mediaRetryPauseMs * 2 ** Math.max(0, fruitless - 1);
      await sleep(pauseMs, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}

/** One connection, from where the last one ended. */
async function attempt(download: Download, known: Note | null): Promise<string | null> {
  const { url, wanted, settings, partial, signal } = download;
  const { version, condition, bytes } = partial;
  const begun = condition === null || bytes === 0 ? null : { version, condition, bytes };
  const idle = new IdleTimer();
  try {
    const isChecked = wanted !== null;
    const { mediaHosts: hosts, outbound } = settings;
    const question = { url, hosts, outbound, known, begun, isChecked };
    const delivery = await askServer(question, AbortSignal.any([signal, idle.signal]));
    if (delivery === 'unchanged') return null;
    if (delivery.offset === 0) await partial.begin(delivery.version);
    else partial.goOn();
    await receive(download, delivery, () => idle.refresh());
    return await partial.finish();
  } catch (error) {
    throw asInterrupted(url, error);
  } finally {
    idle.stop();
  }
}

async function receive(
  { url, partial, room, tell }: Download,
  { body, endBytes, version: { totalBytes } }: Delivery,
  alive: () => void,
): Promise<void> {
  const requireSize = async (bytes: number) => {
    if (bytes <= LIMITS.mediaBytesMax) return;
    await partial.remove();
    throw downloadFailed(url, `it is larger than ${LIMITS.mediaBytesMax} bytes`);
  };
  await requireSize(totalBytes ?? 0);
  let checkedAtBytes = Number.NEGATIVE_INFINITY;
  const checkRoom = () => {
    if (partial.bytes - checkedAtBytes < ROOM_CHECK_BYTES) return;
    checkedAtBytes = partial.bytes;
    room.require(totalBytes === null ? 0 : totalBytes - partial.bytes);
  };
  checkRoom();
  tell(partial.bytes, totalBytes);
  for await (const piece of body) {
    alive();
    if (partial.bytes + piece.length > (endBytes ?? Number.POSITIVE_INFINITY)) {
      throw new Unresumable('the server sent more than it had announced');
    }
    await requireSize(partial.bytes + piece.length);
    await partial.append(piece);
    checkRoom();
    tell(partial.bytes, totalBytes);
  }
  if (totalBytes !== null && partial.bytes < totalBytes) {
    throw new Interrupted('the connection was cut');
  }
  if (partial.bytes === 0) throw downloadFailed(url, 'the server sent an empty file');
}

/** Gives the file its name, and remembers which address it came from. */
async function settle(
  { settings, partial, notePath }: Download,
  digest: string,
): Promise<MediaFacts> {
  const path = cachePath(settings, digest);
  try {
    await link(partial.path, path);
  } catch (error) {
    // The same content from another address, or again: disks know the file that is there.
    if (errnoOf(error) !== 'EEXIST') throw error;
  }
  const { etag, lastModified } = partial.version;
  const note: Note = { etag, lastModified, digest };
  await partial.remove();
  await noteUse(path);
  syncDirectory(join(settings.cacheDirectory, 'sha256'));
  await writeFile(notePath, JSON.stringify(note), { mode: 0o600 });
  return factsOf(path);
}

async function cachedFile(settings: HostSettings, digest: string): Promise<MediaFacts | null> {
  const path = cachePath(settings, digest);
  try {
    await noteUse(path);
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

/** A note that was cut off by a power failure is worth as much as none. */
function readNote(path: string): Note | null {
  try {
    return readJson(path) as Note | null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

function keyOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
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
