// host, media: checksums of local files. A checksum that is known or being computed is not computed again. The cache
// is here because worker threads end when they are idle.

import { LIMITS } from '../../config/limits.ts';
import { VolantError } from '../../lib/errors.ts';
import { digestIn } from '../../lib/formats/digest.ts';
import type { InspectedMedia, Run } from '../jobs/protocol.ts';

/** Computes SHA-256 digests in jobs, and caches the last ones. */
export class Checksums {
  readonly #run: Run;
  /** By version and path of the file; the oldest first. */
  readonly #digests = new Map<string, Promise<string>>();

  constructor(run: Run) {
    this.#run = run;
  }

  /**
   * Rejects with MEDIA_CHECKSUM_MISMATCH when the file has another checksum. `name` is the client's name for the
   * file.
   */
  async require({ realPath, version }: InspectedMedia, name: string, checksum: string) {
    const wanted = digestIn(checksum);
    const found = await this.#digestOf(realPath, version);
    if (found === wanted) return;
    const why = `${name} has the SHA-256 ${found}, not ${wanted}`;
    throw new VolantError('MEDIA_CHECKSUM_MISMATCH', why);
  }

  #digestOf(path: string, version: string): Promise<string> {
    const key = `${version} ${path}`;
    const before = this.#digests.get(key);
    if (before !== undefined) return before;
    const digest = this.#run('sha256Of', { path });
    this.#digests.set(key, digest);
    // A failed reading is not cached.
    digest.catch(() => this.#digests.delete(key));
    const [oldest] = this.#digests.keys();
    if (this.#digests.size > LIMITS.checksumsKnownMax && oldest !== undefined) {
      this.#digests.delete(oldest);
    }
    return digest;
  }
}
