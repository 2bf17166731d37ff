// test helpers: servers of images that behave as a test wants, and a cache of its own for a test.

import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { LIMITS, type Limits } from '../../../../src/config/limits.ts';
import { loadConfig } from '../../../../src/config.ts';
import type { MediaFacts } from '../../../../src/engine/ports/media-ports.ts';
import { createHost } from '../../../../src/host/host.ts';
import { faultOf } from '../../../../src/host/jobs/fault.ts';
import { fetchMedium } from '../../../../src/host/jobs/media/download.ts';
import type { HostSettings } from '../../../../src/host/jobs/protocol.ts';
import { startThreads } from '../../../../src/workers/pool.ts';
import { silentLog } from '../../../engine/fakes.ts';

/** The servers of tests are on loopback, which has to be named. */
export const MEDIA_HOSTS = '127.0.0.1';

export const digestOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** As a server of images names the version of a file. */
export const etagOf = (bytes: Uint8Array) => `"${digestOf(bytes).slice(0, 8)}"`;

export interface Site {
  readonly url: string;
  readonly requests: IncomingMessage[];
}

/** A server; `count` is 1 for the first request. */
export async function serve(
  t: TestContext,
  answer: (request: IncomingMessage, response: ServerResponse, count: number) => void,
): Promise<Site> {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    requests.push(request);
    answer(request, response, requests.length);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/image`, requests };
}

/** Where a request for the rest begins; 0 for one that asks for the whole. */
export function startOf(request: IncomingMessage, etag: string): number {
  const range = /^bytes=(\d+)-$/.exec(request.headers.range ?? '');
  return range !== null && request.headers['if-range'] === etag ? Number(range[1]) : 0;
}

/** A server that knows ranges and versions, as those of images do. It sends up to `endByte`, then cuts the line. */
export function sendFile(
  request: IncomingMessage,
  response: ServerResponse,
  bytes: Buffer,
  endByte = bytes.length,
): void {
  const etag = etagOf(bytes);
  if (request.headers['if-none-match'] === etag) {
    response.writeHead(304).end();
    return;
  }
  const from = startOf(request, etag);
  response.writeHead(from > 0 ? 206 : 200, {
    etag,
    'content-length': bytes.length - from,
    ...(from > 0 ? { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {}),
  });
  if (endByte >= bytes.length) response.end(bytes.subarray(from));
  else
    response.write(bytes.subarray(from, endByte), () => setTimeout(() => response.destroy(), 50));
}

/** A host with threads, on a home of its own. */
export function hostWith(t: TestContext, settings: Record<string, string> = {}) {
  const home = mkdtempSync(join(tmpdir(), 'volant-cache-'));
  const host = createHost(
    loadConfig({ VOLANT_HOME: home, VOLANT_MEDIA_HOSTS: MEDIA_HOSTS, ...settings }),
    silentLog,
    startThreads,
  );
  t.after(async () => {
    await host.close();
    rmSync(home, { recursive: true });
  });
  return { host, cached: () => readdirSync(join(home, 'cache/sha256')), home };
}

/** The job itself, in this thread: it is given the limits of the test. */
export function jobIn(
  t: TestContext,
  limits: Partial<Limits> = {},
  VOLANT_MEDIA_HOSTS = MEDIA_HOSTS,
  more: Record<string, string> = {},
) {
  const home = mkdtempSync(join(tmpdir(), 'volant-job-'));
  t.after(() => {
    rmSync(home, { recursive: true });
  });
  const partials = join(home, 'cache/partial');
  mkdirSync(partials, { recursive: true });
  const config = loadConfig({ VOLANT_HOME: home, VOLANT_MEDIA_HOSTS, ...more });
  const { cacheDirectory, diskDirectory, mediaHosts, outbound } = config;
  const settings = { cacheDirectory, diskDirectory, mediaHosts, outbound, cacheBytesMax: 0 };
  const job = async (url: string, digest: string | null = null): Promise<MediaFacts> => {
    const { port1, port2 } = new MessageChannel();
    try {
      return await fetchMedium(
        {
          settings: settings as unknown as HostSettings,
          url,
          digest,
          progress: port1,
        },
        { ...LIMITS, mediaRetryPauseMs: 10, ...limits },
      );
    } catch (error) {
      const outcome = faultOf(error, 'fetchMedium');
      throw outcome.ok ? error : Object.assign(new Error(outcome.fault.message), outcome.fault);
    } finally {
      port2.close();
    }
  };
  const cached = () => readdirSync(join(home, 'cache/sha256'));
  return { job, home, cached, partials: () => readdirSync(partials) };
}
