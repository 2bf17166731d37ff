// engine, media: container images as clients see them, and the events about pulls that clients ask for. What a VM needs of its
// image is in media.ts.

import { LIMITS } from '../../config/limits.ts';
import { type Clock, toTimestamp } from '../../lib/clock.ts';
import { within } from '../../lib/deadline.ts';
import { VolantError } from '../../lib/errors.ts';
import {
  formatImageReference,
  IMAGE_DIGEST,
  parseImageReference,
} from '../../lib/formats/image-reference.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { Image, ImageList, PullImageRequest } from '../../schema/image.ts';
import { checkContainerImage } from '../../schema/rules/container-image.ts';
import type { ImageApi } from '../engine-api.ts';
import { type OtherEventType, otherEvent } from '../events/events.ts';
import type { MediaHost, StoredImage } from '../ports/media-ports.ts';
import type { Cause } from '../records.ts';
import type { State } from '../state/state.ts';
import { progressSteps } from './media-events.ts';

export interface ImagesParts {
  readonly host: Pick<MediaHost, 'fetchImage' | 'listImages' | 'pulls' | 'removeImage'>;
  readonly state: State;
  readonly clock: Clock;
  readonly log: Logger;
}

export class Images implements ImageApi {
  readonly #parts: ImagesParts;
  /** Pulls that clients have asked for, by name and digest. */
  readonly #pulls = new Map<string, Promise<Image>>();

  constructor(parts: ImagesParts) {
    this.#parts = parts;
  }

  async list(): Promise<ImageList> {
    const { host } = this.#parts;
    const images = (await host.listImages()).map(shown);
    const pulls = host.pulls().map(({ image, receivedBytes, totalBytes }) => ({
      image,
      received_bytes: receivedBytes,
      ...(totalBytes === null ? {} : { total_bytes: totalBytes }),
    }));
    const keyOf = ({ names, digest }: Image) => names[0] ?? digest;
    return { images: images.sort((one, other) => (keyOf(one) < keyOf(other) ? -1 : 1)), pulls };
  }

  async get(nameOrDigest: string): Promise<Image> {
    return shown(await this.#find(nameOrDigest));
  }

  async pull({ image, image_digest }: PullImageRequest, cause?: Cause): Promise<Image> {
    const digest = image_digest?.trim() || undefined;
    const name = image.trim();
    const details: Record<string, string> = {};
    checkContainerImage(name, digest, details);
    if (Object.keys(details).length > 0) {
      throw new VolantError('BODY_INVALID', undefined, { details });
    }
    const key = `${name} ${digest ?? ''}`;
    const work = this.#pulls.get(key) ?? this.#begin(key, name, digest ?? null, cause);
    return await withinAnswer(work);
  }

  /** Continues without a client that waits. */
  #begin(
    key: string,
    name: string,
    digest: string | null,
    cause: Cause | undefined,
  ): Promise<Image> {
    const work = this.#pull(name, digest, cause).finally(() => this.#pulls.delete(key));
    work.catch(() => undefined);
    this.#pulls.set(key, work);
    return work;
  }

  async #pull(name: string, digest: string | null, cause: Cause | undefined): Promise<Image> {
    const { host, clock } = this.#parts;
    const tell = (text: string) => this.#emit('MEDIA_DOWNLOADING', name, 'pulling', text, cause);
    try {
      const request = { image: name, digest, refresh: true };
      const held = await host.fetchImage(request, progressSteps(clock, name, tell));
      try {
        this.#emit('MEDIA_READY', name, 'ready', held.digest, cause);
        return shown(await this.#find(held.digest));
      } finally {
        held.release();
      }
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#emit('MEDIA_FAILED', name, 'failed', why, cause);
      throw error;
    }
  }

  async remove(nameOrDigest: string, cause?: Cause): Promise<void> {
    const { digest } = await this.#find(nameOrDigest);
    await this.#parts.host.removeImage(digest);
    this.#emit('IMAGE_REMOVED', nameOrDigest, 'removed', digest, cause);
  }

  async #find(nameOrDigest: string): Promise<StoredImage> {
    const images = await this.#parts.host.listImages();
    const wanted = /^[0-9a-f]{64}$/.test(nameOrDigest) ? `sha256:${nameOrDigest}` : nameOrDigest;
    const reference = parseImageReference(wanted);
    const name = typeof reference === 'string' ? wanted : formatImageReference(reference);
    const found = IMAGE_DIGEST.test(wanted)
      ? images.find(({ digest }) => digest === wanted)
      : images.find(({ names }) => names.includes(name));
    if (found !== undefined) return found;
    throw new VolantError(
      'IMAGE_NOT_FOUND',
      `There is no container image ${nameOrDigest} on this host`,
    );
  }

  /** In the background: an event that cannot be written is logged, and nothing else stops. */
  #emit(type: OtherEventType, name: string, status: string, message: string, cause?: Cause): void {
    const { state, clock, log } = this.#parts;
    const event = otherEvent(type, { name, status }, clock.nowMs(), message, cause);
    state.commit([], [event]).catch((error: unknown) => {
      log.warn({ image: name, err: error }, 'an event could not be written');
    });
  }
}

/** Rejects with WAIT_TIMEOUT when the work takes longer than a client waits for an answer. */
async function withinAnswer(work: Promise<Image>): Promise<Image> {
  const done = await within(work, LIMITS.imageAnswerMs);
  if (done !== undefined) return done;
  throw new VolantError(
    'WAIT_TIMEOUT',
    'The pull takes long and continues: ask again to wait for it',
  );
}

function shown(image: StoredImage): Image {
  const { settings, digest, names, isInUse, layers, pulledBytes, unpackedBytes, diskBytes } = image;
  const { entrypoint, command, env, user, workdir, exposed_ports, volumes, labels } = settings;
  return {
    digest,
    names: [...names],
    in_use: isInUse,
    layers,
    pulled_bytes: pulledBytes,
    unpacked_bytes: unpackedBytes,
    disk_bytes: diskBytes,
    created_at: toTimestamp(image.builtAtMs),
    entrypoint: [...entrypoint],
    command: [...command],
    env: { ...env },
    user,
    workdir,
    exposed_ports: exposed_ports.map((port) => ({ ...port })),
    volumes: [...volumes],
    labels: { ...labels },
    stop_signal: settings.stop_signal,
  };
}
