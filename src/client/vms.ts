// client: VMs and their lifecycle.

import { type CallOptions, type Http, path } from './http.ts';
import type {
  CreateVmRequest,
  DryRun,
  EndOptions,
  Vm,
  VmOperation,
  VmQuery,
  WaitOptions,
} from './types.ts';
import { waitCall } from './wait.ts';

export interface VmPage {
  readonly vms: readonly Vm[];
  /** Matching VMs before limit and offset. */
  readonly total: number;
}

export class Vms {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  list(query: VmQuery = {}, options?: CallOptions): Promise<VmPage> {
    const call = { method: 'GET', path: '/api/v1/vms', query: { ...query }, options } as const;
    return this.#http.exchange(call, async (response) => {
      const vms = JSON.parse(await response.text()) as readonly Vm[];
      return { vms, total: Number(response.headers.get('x-total-count') ?? vms.length) };
    });
  }

  get(name: string, options?: CallOptions): Promise<Vm> {
    return this.#http.json({ method: 'GET', path: path`/api/v1/vms/${name}`, options });
  }

  /** What was done for the VM, newest first. */
  operations(name: string, options?: CallOptions): Promise<readonly VmOperation[]> {
    return this.#http.json({ method: 'GET', path: path`/api/v1/vms/${name}/operations`, options });
  }

  create(request: CreateVmRequest, options?: WaitOptions): Promise<Vm> {
    const call = { method: 'POST', path: '/api/v1/vms', json: request } as const;
    return this.#http.json({ ...call, ...waitCall(options) });
  }

  /** What create would do, or the error that it would answer. Changes nothing. */
  planCreate(request: CreateVmRequest, options?: CallOptions): Promise<DryRun & Vm> {
    const query = { dry_run: true };
    return this.#http.json({ method: 'POST', path: '/api/v1/vms', query, json: request, options });
  }

  /** Resolves when nothing of the VM is left. */
  destroy(name: string, options?: EndOptions): Promise<void> {
    const call = { method: 'DELETE', path: path`/api/v1/vms/${name}` } as const;
    return this.#http.done({ ...call, ...waitCall(options) });
  }

  start(name: string, options?: WaitOptions): Promise<Vm> {
    const call = { method: 'POST', path: path`/api/v1/vms/${name}/start` } as const;
    return this.#http.json({ ...call, ...waitCall(options) });
  }

  stop(name: string, options?: WaitOptions & EndOptions): Promise<Vm> {
    const call = { method: 'POST', path: path`/api/v1/vms/${name}/stop` } as const;
    return this.#http.json({ ...call, ...waitCall(options) });
  }

  restart(name: string, options?: WaitOptions & EndOptions): Promise<Vm> {
    const call = { method: 'POST', path: path`/api/v1/vms/${name}/restart` } as const;
    return this.#http.json({ ...call, ...waitCall(options) });
  }

  /** What the guest printed last, also of a VM that does not run any more. */
  consoleLog(name: string, options?: CallOptions): Promise<string> {
    const call = { method: 'GET', path: path`/api/v1/vms/${name}/console-log`, options } as const;
    return this.#http.exchange(call, (response) => response.text());
  }

  /** The workload's own OpenAPI document, as text in JSON. */
  openapi(name: string, options?: CallOptions): Promise<{ text: string; contentType: string }> {
    const call = { method: 'GET', path: path`/api/v1/vms/${name}/openapi`, options } as const;
    return this.#http.exchange(call, async (response) => ({
      text: await response.text(),
      contentType: response.headers.get('content-type') ?? '',
    }));
  }
}
