// test helper: container images of a host that has those that were asked for.

import type {
  HeldImage,
  HeldMedia,
  ImageRequest,
  StoredImage,
} from '../../src/engine/ports/media-ports.ts';
import { VolantError } from '../../src/lib/errors.ts';
import {
  formatImageReference,
  parseImageReference,
} from '../../src/lib/formats/image-reference.ts';
import { FakeDevices } from './fake-devices.ts';

const NOTHING_SAID = {
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

/** The devices of a host and its container images. */
export abstract class FakeImages extends FakeDevices {
  readonly #images = new Map<string, StoredImage>();

  abstract fetchMedium(
    url: string,
    checksum: string | null,
    onProgress: unknown,
    signal?: AbortSignal,
  ): Promise<HeldMedia>;

  /** As a download of a file with the image's name. */
  async fetchImage(
    { image, digest }: ImageRequest,
    onProgress: unknown,
    signal?: AbortSignal,
  ): Promise<HeldImage> {
    const held = await this.fetchMedium(image, digest, onProgress, signal);
    const fetched = { digest: digest ?? `sha256:${'0'.repeat(64)}`, settings: NOTHING_SAID };
    const reference = parseImageReference(image);
    this.#images.set(fetched.digest, {
      ...fetched,
      names: [typeof reference === 'string' ? image : formatImageReference(reference)],
      ...{ pulledBytes: 1, unpackedBytes: 1, diskBytes: 1, layers: 1, builtAtMs: 0 },
      isInUse: false,
    });
    return { ...held, ...fetched };
  }

  async listImages(): Promise<readonly StoredImage[]> {
    return [...this.#images.values()];
  }

  pulls() {
    return [];
  }

  async removeImage(digest: string): Promise<void> {
    if (!this.#images.delete(digest)) throw new VolantError('IMAGE_NOT_FOUND', digest);
  }
}
