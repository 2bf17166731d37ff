// client: what the daemon tells about itself.

import { toApiError } from './errors.ts';
import type { CallOptions, Http } from './http.ts';
import type { AuditReport, McpAnswer, SystemInfo, SystemStatus, SystemSummary } from './types.ts';

/** Records on their way. */
export interface Backup {
  readonly sizeBytes: number;
  readonly stream: ReadableStream<Uint8Array>;
}

export class System {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /** Needs no API key. Rejects with status 503 while the state cannot be written. */
  health(options?: CallOptions): Promise<{ readonly status: string }> {
    return this.#http.json({ method: 'GET', path: '/healthz', options });
  }

  info(options?: CallOptions): Promise<SystemInfo> {
    return this.#http.json({ method: 'GET', path: '/api/v1/system/info', options });
  }

  /** Compares the host with the records; `repair` puts in line what can be. */
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

  /**
   * A copy of all records, of this moment, for `volantd --restore`. What is read of the stream is bounded by the signal
   * alone; a stream that ends with fewer bytes than `sizeBytes` is not whole.
   */
  async backup(options?: CallOptions): Promise<Backup> {
    const call = { method: 'GET', path: '/api/v1/system/backup', options } as const;
    const response = await this.#http.open(call);
    if (response.status !== 200) throw await toApiError(response);
    const sizeBytes = Number(response.headers.get('Content-Length'));
    return { sizeBytes, stream: response.body ?? new Blob([]).stream() };
  }

  /** The contract as an OpenAPI document. */
  openapi(options?: CallOptions): Promise<Readonly<Record<string, unknown>>> {
    return this.#http.json({ method: 'GET', path: '/openapi', options });
  }

  /** One command of POST /api/v1/mcp. A command that fails is an answer with `error`. */
  mcp(
    command: string,
    params: Readonly<Record<string, unknown>> = {},
    options?: CallOptions,
  ): Promise<McpAnswer> {
    const json = { command, params };
    return this.#http.json({ method: 'POST', path: '/api/v1/mcp', json, options });
  }
}
