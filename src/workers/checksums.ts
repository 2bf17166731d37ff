// workers, main-thread side: checksums of local files. One that is known or under way is not computed
// again; threads end when they are idle, so they are remembered here.

import { LIMITS } from '../config.ts';
import { digestIn } from '../lib/digest.ts';
import { VolantError } from '../lib/errors.ts';
import type { InspectedMedia, Run } from './protocol.ts';

export class Checksums {
  readonly #run: Run;
  /** By path and version; the oldest first. */
  readonly #digests = new Map<string, Promise<string>>();

  constructor(run: Run) {
    this.#run = run;
  }

  /** MEDIA_CHECKSUM_MISMATCH. `name` is the client's own word for the file. */
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
    // What could not be read is asked for anew.
    digest.catch(() => this.#digests.delete(key));
    const [oldest] = this.#digests.keys();
    if (this.#digests.size > LIMITS.checksumsKnownMax && oldest !== undefined) {
      this.#digests.delete(oldest);
    }
    return digest;
  }
}
