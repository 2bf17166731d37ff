// client: VMs and their life cycle.

import { type CallOptions, type Http, path } from './http.ts';
import type {
  CreateVmRequest,
  DryRun,
  EgressStatus,
  EndOptions,
  Vm,
  VmOperation,
  VmQuery,
  VmResult,
  VmStats,
  VmWaitFor,
  WaitOptions,
} from './types.ts';
import { waitCall } from './wait.ts';

export interface VmPage {
  readonly vms: readonly Vm[];
  /** Number of matching VMs before limit and offset. */
  readonly total: number;
}

export interface StatsQuery {
  /** At most 1000, which is the default. */
  readonly limit?: number;
  readonly offset?: number;
}

export interface VmStatsPage {
  readonly stats: readonly VmStats[];
  /** Number of running VMs before limit and offset. */
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

  /** The egress rules of the VM, and what was counted of its packets. */
  egress(name: string, options?: CallOptions): Promise<EgressStatus> {
    return this.#http.json({ method: 'GET', path: path`/api/v1/vms/${name}/egress`, options });
  }

  /** The operations on the VM, newest first. */
  operations(name: string, options?: CallOptions): Promise<readonly VmOperation[]> {
    return this.#http.json({ method: 'GET', path: path`/api/v1/vms/${name}/operations`, options });
  }

  /** The newest result that the guest has posted to its metadata service. */
  result(name: string, options?: CallOptions): Promise<VmResult> {
    return this.#http.json({ method: 'GET', path: path`/api/v1/vms/${name}/result`, options });
  }

  /** What the VM uses. All figures are null while it does not run. */
  stats(name: string, options?: CallOptions): Promise<VmStats> {
    return this.#http.json({ method: 'GET', path: path`/api/v1/vms/${name}/stats`, options });
  }

  /** What running VMs use, by name, at most one page. */
  allStats(query: StatsQuery = {}, options?: CallOptions): Promise<VmStatsPage> {
    const call = {
      method: 'GET',
      path: '/api/v1/stats/vms',
      query: { ...query },
      options,
    } as const;
    return this.#http.exchange(call, async (response) => {
      const stats = JSON.parse(await response.text()) as readonly VmStats[];
      return { stats, total: Number(response.headers.get('x-total-count') ?? stats.length) };
    });
  }

  create(request: CreateVmRequest, options?: WaitOptions<VmWaitFor>): Promise<Vm> {
    const call = { method: 'POST', path: '/api/v1/vms', json: request } as const;
    return this.#http.json({ ...call, ...waitCall(options) });
  }

  /** What create would do, or the error that it would return. Changes nothing. */
  planCreate(request: CreateVmRequest, options?: CallOptions): Promise<DryRun & Vm> {
    const query = { dry_run: true };
    return this.#http.json({ method: 'POST', path: '/api/v1/vms', query, json: request, options });
  }

  /** Deletes the VM in so many seconds, whatever it does then; null: it stays. */
  setDeadline(name: string, seconds: number | null, options?: CallOptions): Promise<Vm> {
    const call = { method: 'PUT', path: path`/api/v1/vms/${name}/deadline` } as const;
    return this.#http.json({ ...call, json: { seconds }, options });
  }

  /** Resolves when the VM and everything that belongs to it is deleted. */
  destroy(name: string, options?: EndOptions): Promise<void> {
    const call = { method: 'DELETE', path: path`/api/v1/vms/${name}` } as const;
    return this.#http.done({ ...call, ...waitCall(options) });
  }

  start(name: string, options?: WaitOptions<VmWaitFor>): Promise<Vm> {
    const call = { method: 'POST', path: path`/api/v1/vms/${name}/start` } as const;
    return this.#http.json({ ...call, ...waitCall(options) });
  }

  stop(name: string, options?: WaitOptions<VmWaitFor> & EndOptions): Promise<Vm> {
    const call = { method: 'POST', path: path`/api/v1/vms/${name}/stop` } as const;
    return this.#http.json({ ...call, ...waitCall(options) });
  }

  restart(name: string, options?: WaitOptions<VmWaitFor> & EndOptions): Promise<Vm> {
    const call = { method: 'POST', path: path`/api/v1/vms/${name}/restart` } as const;
    return this.#http.json({ ...call, ...waitCall(options) });
  }

  /** The end of the console output, also of a VM that does not run any more. */
  consoleLog(name: string, options?: CallOptions): Promise<string> {
    const call = { method: 'GET', path: path`/api/v1/vms/${name}/console-log`, options } as const;
    return this.#http.exchange(call, (response) => response.text());
  }

  /** The workload's own OpenAPI document, as JSON text. */
  openapi(name: string, options?: CallOptions): Promise<{ text: string; contentType: string }> {
    const call = { method: 'GET', path: path`/api/v1/vms/${name}/openapi`, options } as const;
    return this.#http.exchange(call, async (response) => ({
      text: await response.text(),
      contentType: response.headers.get('content-type') ?? '',
    }));
  }
}
