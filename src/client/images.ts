// client: container images on the host of the daemon.

import { ApiError } from './errors.ts';
import { type CallOptions, type Http, path } from './http.ts';
import type { Image, ImageList } from './types.ts';

/** More than the time after which the daemon answers. */
const ANSWER_TIMEOUT_MS = 270_000;

export class Images {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /** The images that are there, and the pulls under way. */
  list(options?: CallOptions): Promise<ImageList> {
    return this.#http.json({ method: 'GET', path: '/api/v1/images', options });
  }

  /** By its digest or one of its names. */
  get(image: string, options?: CallOptions): Promise<Image> {
    return this.#http.json({ method: 'GET', path: path`/api/v1/images/${image}`, options });
  }

  /**
   * Asks the registry what the name means now, and resolves when the image can be used, however long that takes: only
   * the signal ends the wait. The pull itself continues.
   */
  async pull(
    image: string,
    { digest, ...options }: CallOptions & { readonly digest?: string } = {},
  ): Promise<Image> {
    const json = { image, image_digest: digest };
    const call = { timeoutMs: ANSWER_TIMEOUT_MS, ...options };
    for (;;) {
      try {
        return await this.#http.json({
          method: 'POST',
          path: '/api/v1/images',
          json,
          options: call,
        });
      } catch (error) {
        // The daemon answers before a connection that waits would be closed. The next request joins the same pull.
        if (!(error instanceof ApiError) || error.code !== 'WAIT_TIMEOUT') throw error;
      }
    }
  }

  /** Removes an image with all its names. IMAGE_IN_USE if VMs are made of it. */
  remove(image: string, options?: CallOptions): Promise<void> {
    return this.#http.done({ method: 'DELETE', path: path`/api/v1/images/${image}`, options });
  }
}
