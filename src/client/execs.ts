// client: programs that are run in VMs (execs): start, output, input, signals. sockets.ts connects to one by a WebSocket.

import type { CreateExec, Exec, ExecInput } from '../schema/exec.ts';
import { ConnectionError, toApiError } from './errors.ts';
import { type CallOptions, type Http, path } from './http.ts';
import { eventsOf } from './sse.ts';
import type { IdempotentOptions } from './types.ts';

export type ExecOutputStream = 'stdout' | 'stderr';

export interface RunOptions extends IdempotentOptions {
  /** The daemon answers WAIT_TIMEOUT after this, with the id in `details.exec`; the program continues. */
  readonly waitTimeoutMs?: number;
  /** Form of the output: text (default) or base64. */
  readonly encoding?: 'text' | 'base64';
}

/** An exec that has ended, and its newest output. */
export type ExecRun = Exec & { readonly stdout: string; readonly stderr: string };

export interface OutputOptions extends CallOptions {
  /** stdout by default. */
  readonly stream?: ExecOutputStream;
  /** Number of the first byte; 0 by default. */
  readonly offset?: number;
  /** Maximum number of bytes. */
  readonly limit?: number;
  /** How long the daemon waits for the first byte, or the end. */
  readonly waitMs?: number;
}

export interface ExecOutputPart {
  /** Number of the first byte: larger than the one that was asked for if that is no longer kept. */
  readonly offset: number;
  /** Where the next part begins. */
  readonly next: number;
  readonly bytes: Uint8Array;
  /** The program has ended, and nothing follows. */
  readonly isEnd: boolean;
}

export interface FollowOptions {
  /** Numbers of the first bytes; 0 by default. */
  readonly stdout?: number;
  readonly stderr?: number;
  readonly signal?: AbortSignal;
}

export type ExecEvent =
  | { readonly type: ExecOutputStream; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly type: 'end'; readonly exec: Exec };

export class Execs {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /** Resolves when the program was executed. It continues without this client. */
  create(vmName: string, request: CreateExec, options: IdempotentOptions = {}): Promise<Exec> {
    return this.#http.json(this.#creation(vmName, request, options, {}));
  }

  /** Resolves when the program has ended, with its newest output. */
  run(
    vmName: string,
    request: CreateExec,
    { waitTimeoutMs, encoding, ...options }: RunOptions = {},
  ): Promise<ExecRun> {
    const query = { wait: 'exit', timeout: waitTimeoutMs, encoding };
    return this.#http.json(this.#creation(vmName, request, options, query));
  }

  /** Oldest first, as long as the guest keeps them. */
  list(vmName: string, options?: CallOptions): Promise<Exec[]> {
    return this.#http.json({ method: 'GET', path: path`/api/v1/vms/${vmName}/exec`, options });
  }

  get(vmName: string, id: string, options?: CallOptions): Promise<Exec> {
    return this.#http.json({
      method: 'GET',
      path: path`/api/v1/vms/${vmName}/exec/${id}`,
      options,
    });
  }

  /** Forgets an exec, and kills its program if it runs. */
  delete(vmName: string, id: string, options?: CallOptions): Promise<void> {
    return this.#http.done({
      method: 'DELETE',
      path: path`/api/v1/vms/${vmName}/exec/${id}`,
      options,
    });
  }

  /** Bytes of output from an offset on. */
  output(
    vmName: string,
    id: string,
    { stream, offset, limit, waitMs, ...options }: OutputOptions = {},
  ): Promise<ExecOutputPart> {
    const call = {
      method: 'GET',
      path: path`/api/v1/vms/${vmName}/exec/${id}/output`,
      query: { stream, offset, limit, wait: waitMs },
      options,
    } as const;
    return this.#http.exchange(call, async (response) => {
      const bytes = new Uint8Array(await response.arrayBuffer());
      const first = Number(response.headers.get('Volant-Exec-Offset') ?? 0);
      const isEnd = response.headers.get('Volant-Exec-End') === 'true';
      return { offset: first, next: first + bytes.length, bytes, isEnd };
    });
  }

  /**
   * Output as it comes, until the end of the program. Rejects with ConnectionError if the connection is lost before: call it
   * again with the offsets behind the last bytes.
   */
  async *follow(
    vmName: string,
    id: string,
    { stdout, stderr, signal }: FollowOptions = {},
  ): AsyncGenerator<ExecEvent, void, undefined> {
    const response = await this.#http.open({
      method: 'GET',
      path: path`/api/v1/vms/${vmName}/exec/${id}/stream`,
      query: { stdout, stderr, encoding: 'base64' },
      headers: { Accept: 'text/event-stream' },
      options: signal === undefined ? {} : { signal },
    });
    if (response.status !== 200 || response.body === null) throw await toApiError(response);
    const events = eventsOf(response.body, 'The stream broke', signal);
    for await (const { type, data } of events) {
      const value = JSON.parse(data) as { offset: number; data: string; error?: string };
      if (type === 'stdout' || type === 'stderr') {
        yield { type, offset: value.offset, bytes: bytesOf(value.data) };
      } else if (type === 'end') {
        yield { type, exec: JSON.parse(data) as Exec };
        return;
      } else if (type === 'error') throw new ConnectionError(value.error ?? 'The stream broke');
    }
    throw new ConnectionError('The stream ended before the program');
  }

  /** Resolves when standard input has taken the bytes, or with fewer after some time: send the rest again then. */
  input(
    vmName: string,
    id: string,
    bytes: Uint8Array<ArrayBuffer> | string,
    { close, ...options }: CallOptions & { readonly close?: boolean } = {},
  ): Promise<ExecInput> {
    return this.#http.json({
      method: 'POST',
      path: path`/api/v1/vms/${vmName}/exec/${id}/stdin`,
      query: { close },
      headers: { 'Content-Type': 'application/octet-stream' },
      body: bytes,
      options,
    });
  }

  /** Sends a signal to the process group: SIGINT, INT or 2. */
  signal(vmName: string, id: string, signal: string, options?: CallOptions): Promise<void> {
    return this.#http.done({
      method: 'POST',
      path: path`/api/v1/vms/${vmName}/exec/${id}/signal`,
      json: { signal },
      options,
    });
  }

  /** Sets the size of the terminal. */
  resize(
    vmName: string,
    id: string,
    size: { readonly rows: number; readonly columns: number },
    options?: CallOptions,
  ): Promise<void> {
    return this.#http.done({
      method: 'POST',
      path: path`/api/v1/vms/${vmName}/exec/${id}/resize`,
      json: size,
      options,
    });
  }

  #creation(
    vmName: string,
    json: CreateExec,
    { idempotencyKey, ...options }: IdempotentOptions,
    query: Readonly<Record<string, string | number | undefined>>,
  ) {
    return {
      method: 'POST',
      path: path`/api/v1/vms/${vmName}/exec`,
      json,
      query,
      ...(idempotencyKey === undefined ? {} : { headers: { 'Idempotency-Key': idempotencyKey } }),
      options,
    } as const;
  }
}

function bytesOf(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}
