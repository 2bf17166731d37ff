// client: the configs of VMs and their versions.

import { type CallOptions, type Http, path } from './http.ts';
import type { ConfigEnvelope, ConfigHistory, ConfigPatch, DryRun } from './types.ts';

export interface UpdateOptions extends CallOptions {
  /** Change only this version; VERSION_MISMATCH if another one is the newest. */
  readonly ifVersion?: number;
}

export class Configs {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  get(vmName: string, options?: CallOptions): Promise<ConfigEnvelope> {
    return this.#http.json({ method: 'GET', path: path`/api/v1/vms/${vmName}/config`, options });
  }

  /** Creates one new version. Absent members are unchanged. */
  update(vmName: string, patch: ConfigPatch, options?: UpdateOptions): Promise<ConfigEnvelope> {
    return this.#patch(vmName, patch, {}, options);
  }

  /** What update would do, or the error that it would return. Changes nothing. */
  planUpdate(
    vmName: string,
    patch: ConfigPatch,
    options?: UpdateOptions,
  ): Promise<DryRun & ConfigEnvelope> {
    return this.#patch(vmName, patch, { dry_run: true }, options);
  }

  /** Newest first. */
  history(
    vmName: string,
    { limit, ...options }: CallOptions & { readonly limit?: number } = {},
  ): Promise<ConfigHistory> {
    return this.#http.json({
      method: 'GET',
      path: path`/api/v1/vms/${vmName}/config/history`,
      query: { limit },
      options,
    });
  }

  #patch<T>(
    vmName: string,
    json: ConfigPatch,
    query: { readonly dry_run?: boolean },
    { ifVersion, ...options }: UpdateOptions = {},
  ): Promise<T> {
    return this.#http.json({
      method: 'PATCH',
      path: path`/api/v1/vms/${vmName}/config`,
      query,
      json,
      options,
      ...(ifVersion === undefined ? {} : { headers: { 'If-Match': `"${ifVersion}"` } }),
    });
  }
}
