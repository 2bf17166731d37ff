// client: health, facts and records of the daemon.

import { toApiError } from './errors.ts';
import type { CallOptions, Http } from './http.ts';
import type {
  AuditReport,
  McpAnswer,
  SystemInfo,
  SystemLoad,
  SystemStatus,
  SystemSummary,
} from './types.ts';

/** A backup that is being read. */
export interface Backup {
  readonly sizeBytes: number;
  readonly stream: ReadableStream<Uint8Array>;
}

export class System {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /** Needs no API key. Rejects with status 503 while the records cannot be written. */
  health(options?: CallOptions): Promise<{ readonly status: string }> {
    return this.#http.json({ method: 'GET', path: '/healthz', options });
  }

  info(options?: CallOptions): Promise<SystemInfo> {
    return this.#http.json({ method: 'GET', path: '/api/v1/system/info', options });
  }

  /** Compares the host with the records; `repair` repairs differences. */
  audit(
    { repair = false }: { readonly repair?: boolean } = {},
    options?: CallOptions,
  ): Promise<AuditReport> {
    const query = repair ? { repair } : {};
    return this.#http.json({ method: 'GET', path: '/api/v1/system/audit', query, options });
  }

  status(options?: CallOptions): Promise<SystemStatus> {
    return this.#http.json({ method: 'GET', path: '/api/v1/system/status', options });
  }

  summary(options?: CallOptions): Promise<SystemSummary> {
    return this.#http.json({ method: 'GET', path: '/api/v1/system/summary', options });
  }

  /** The load of host and daemon. */
  load(options?: CallOptions): Promise<SystemLoad> {
    return this.#http.json({ method: 'GET', path: '/api/v1/system/load', options });
  }

  /** All metrics, in the text format of Prometheus. */
  metrics(options?: CallOptions): Promise<string> {
    const call = { method: 'GET', path: '/metrics', options } as const;
    return this.#http.exchange(call, (response) => response.text());
  }

  /**
   * A consistent copy of all records, for `volantd --restore`. Only the signal bounds the time of reading the stream. A
   * stream that ends with fewer bytes than `sizeBytes` is incomplete.
   */
  async backup(options?: CallOptions): Promise<Backup> {
    const call = { method: 'GET', path: '/api/v1/system/backup', options } as const;
    const response = await this.#http.open(call);
    if (response.status !== 200) throw await toApiError(response);
    const sizeBytes = Number(response.headers.get('Content-Length'));
    return { sizeBytes, stream: response.body ?? new Blob([]).stream() };
  }

  /** The API as an OpenAPI document. */
  openapi(options?: CallOptions): Promise<Readonly<Record<string, unknown>>> {
    return this.#http.json({ method: 'GET', path: '/openapi', options });
  }

  /** Runs one command of POST /api/v1/mcp. A command that fails is an answer with `error`. */
  mcp(
    command: string,
    params: Readonly<Record<string, unknown>> = {},
    options?: CallOptions,
  ): Promise<McpAnswer> {
    const json = { command, params };
    return this.#http.json({ method: 'POST', path: '/api/v1/mcp', json, options });
  }
}
