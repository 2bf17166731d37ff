// client: plugins, their manifests and the records of their artifacts.

import { type CallOptions, type Http, path } from './http.ts';
import type { Artifact, ArtifactInput, Manifest, ManifestInput } from './types.ts';

export class Plugins {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /** Sorted names. */
  async list(options?: CallOptions): Promise<readonly string[]> {
    const call = { method: 'GET', path: '/api/v1/plugins', options } as const;
    return (await this.#http.json<{ plugins: readonly string[] }>(call)).plugins;
  }

  get(name: string, options?: CallOptions): Promise<Manifest> {
    return this.#http.json({ method: 'GET', path: path`/api/v1/plugins/${name}`, options });
  }

  /** The manifest as a guest's agent gets it: PLUGIN_DISABLED if the plugin is disabled. */
  manifest(name: string, options?: CallOptions): Promise<Manifest> {
    return this.#http.json({
      method: 'GET',
      path: path`/api/v1/plugins/${name}/manifest`,
      options,
    });
  }

  /** Replaces a plugin of the same name. */
  install(manifest: ManifestInput, options?: CallOptions): Promise<void> {
    return this.#http.done({ method: 'POST', path: '/api/v1/plugins', json: manifest, options });
  }

  remove(name: string, options?: CallOptions): Promise<void> {
    return this.#http.done({ method: 'DELETE', path: path`/api/v1/plugins/${name}`, options });
  }

  setEnabled(name: string, enabled: boolean, options?: CallOptions): Promise<void> {
    return this.#http.done({
      method: 'POST',
      path: path`/api/v1/plugins/${name}/enabled`,
      json: { enabled },
      options,
    });
  }

  listArtifacts(
    plugin: string,
    { version, ...options }: CallOptions & { readonly version?: string } = {},
  ): Promise<readonly Artifact[]> {
    return this.#http.json({
      method: 'GET',
      path: path`/api/v1/plugins/${plugin}/artifacts`,
      query: { version },
      options,
    });
  }

  getArtifact(
    plugin: string,
    artifact: string,
    version: string,
    options?: CallOptions,
  ): Promise<Artifact> {
    return this.#http.json({
      method: 'GET',
      path: path`/api/v1/plugins/${plugin}/artifacts/${artifact}`,
      query: { version },
      options,
    });
  }

  /** Replaces the record of the same version and name. */
  putArtifact(plugin: string, json: ArtifactInput, options?: CallOptions): Promise<void> {
    return this.#http.done({
      method: 'POST',
      path: path`/api/v1/plugins/${plugin}/artifacts`,
      json,
      options,
    });
  }

  /** Removes the records of one version, or all. */
  removeArtifacts(
    plugin: string,
    { version, ...options }: CallOptions & { readonly version?: string } = {},
  ): Promise<void> {
    return this.#http.done({
      method: 'DELETE',
      path: path`/api/v1/plugins/${plugin}/artifacts`,
      query: { version },
      options,
    });
  }
}
