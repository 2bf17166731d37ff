// load, run: the daemon that a run drives.

import { createClient, type VolantClient } from '../../client/client.ts';

export interface Target {
  /** `http://host:port`, `https://host:port` or `unix:/path`. */
  readonly url: string;
  readonly apiKey: string | null;
  /** PEM certificates of authorities; null: those of Node. */
  readonly ca: string | null;
}

/** For what is not measured: setup, figures, cleanup. */
export function clientOf({ url, apiKey, ca }: Target): VolantClient {
  return createClient({
    baseUrl: url,
    ...(apiKey === null ? {} : { apiKey }),
    ...(ca === null ? {} : { ca }),
  });
}

/** Without user name and password. */
export function shownUrl(url: string): string {
  return url.replace(/^(https?:\/\/)[^/@]*@/, '$1');
}
