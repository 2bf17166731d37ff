// client: deployments, sets of identical VMs.

import { type CallOptions, type Http, path } from './http.ts';
import type {
  CreateDeploymentRequest,
  Deployment,
  DeploymentRevision,
  DryRun,
  PatchDeploymentRequest,
  RollbackRequest,
  WaitOptions,
} from './types.ts';
import { waitCall } from './wait.ts';

const DEPLOYMENTS = '/api/v1/deployments';

export class Deployments {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /** Sorted by name. */
  list(options?: CallOptions): Promise<readonly Deployment[]> {
    return this.#http.json({ method: 'GET', path: DEPLOYMENTS, options });
  }

  get(name: string, options?: CallOptions): Promise<Deployment> {
    return this.#http.json({ method: 'GET', path: path`/api/v1/deployments/${name}`, options });
  }

  /** The answer has the actual counts, which can still be smaller than requested. */
  create(request: CreateDeploymentRequest, options?: WaitOptions): Promise<Deployment> {
    const call = { method: 'POST', path: DEPLOYMENTS, json: request } as const;
    return this.#http.json({ ...call, ...waitCall(options) });
  }

  /** What create would do, or the error that it would return. Changes nothing. */
  planCreate(
    request: CreateDeploymentRequest,
    options?: CallOptions,
  ): Promise<DryRun & Deployment> {
    const query = { dry_run: true };
    return this.#http.json({ method: 'POST', path: DEPLOYMENTS, query, json: request, options });
  }

  scale(name: string, replicas: number, options?: WaitOptions): Promise<Deployment> {
    return this.patch(name, { replicas }, options);
  }

  /** Changes replicas, config (a roll-out) or both. */
  patch(name: string, request: PatchDeploymentRequest, options?: WaitOptions): Promise<Deployment> {
    const call = { method: 'PATCH', path: path`/api/v1/deployments/${name}` } as const;
    return this.#http.json({ ...call, json: request, ...waitCall(options) });
  }

  /** What patch would do, or the error that it would return. Changes nothing. */
  planPatch(
    name: string,
    json: PatchDeploymentRequest,
    options?: CallOptions,
  ): Promise<DryRun & Deployment> {
    return this.#http.json({
      method: 'PATCH',
      path: path`/api/v1/deployments/${name}`,
      query: { dry_run: true },
      json,
      options,
    });
  }

  /** The configs that the deployment has had, newest first, including the current one. */
  revisions(name: string, options?: CallOptions): Promise<readonly DeploymentRevision[]> {
    const call = { method: 'GET', path: path`/api/v1/deployments/${name}/revisions` } as const;
    return this.#http.json({ ...call, options });
  }

  /** Restores the config of an earlier revision, of the previous one by default. Starts a roll-out. */
  rollback(name: string, request: RollbackRequest, options?: WaitOptions): Promise<Deployment> {
    const call = { method: 'POST', path: path`/api/v1/deployments/${name}/rollback` } as const;
    return this.#http.json({ ...call, json: request, ...waitCall(options) });
  }

  /** What rollback would do, or the error that it would return. Changes nothing. */
  planRollback(
    name: string,
    json: RollbackRequest,
    options?: CallOptions,
  ): Promise<DryRun & Deployment> {
    return this.#http.json({
      method: 'POST',
      path: path`/api/v1/deployments/${name}/rollback`,
      query: { dry_run: true },
      json,
      options,
    });
  }

  /** Resolves when all its VMs are deleted. */
  delete(name: string, options?: CallOptions): Promise<void> {
    return this.#http.done({ method: 'DELETE', path: path`/api/v1/deployments/${name}`, options });
  }
}
