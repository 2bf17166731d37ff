// test helpers: a guest with small file systems, and a client for its files.

import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { createClient, type VolantClient } from '../../src/client/client.ts';
import { IMAGES } from '../helpers/capabilities.ts';
import { type Daemon, startDaemon } from './daemon.ts';

export interface FileGuest {
  readonly daemon: Daemon;
  readonly client: VolantClient;
  /** A request for a file of the guest `one`: "METHOD /path?query". */
  ask(target: string, init?: RequestInit): Promise<Response>;
}

/** /small has 1 MiB, /fixed is read-only, /disk has 96 MiB. */
const SETUP = [
  'mkdir -p /small /fixed /disk',
  'mount -t tmpfs -o size=1m small /small',
  'mount -t tmpfs -o size=96m disk /disk',
  'mount -t tmpfs fixed /fixed && echo kept >/fixed/f && mount -o remount,ro /fixed',
  'exec sleep 1000000',
].join('\n');

/** A guest `one` without network card, whose workload has made the file systems. */
export async function startFileGuest(
  t: TestContext,
  settings: Record<string, string> = {},
): Promise<FileGuest> {
  const daemon = await startDaemon(t, settings);
  await installStore(daemon);
  await daemon.createVm('one', {
    plugin: 'store',
    config: { network: { mode: 'vsock' } },
  });
  const client = createClient({ baseUrl: daemon.url });
  const ask = (target: string, init: RequestInit = {}) => {
    const [method = '', path = ''] = target.split(/ (.*)/);
    return fetch(`${daemon.url}/api/v1/vms/one/files${path}`, { method, ...init });
  };
  await untilThere(client);
  return { daemon, client, ask };
}

export async function installStore(daemon: Daemon): Promise<void> {
  const answer = await daemon.call('POST', '/api/v1/plugins', {
    schema_version: '1.0',
    name: 'store',
    version: '1',
    runtime: 'store',
    resources: { cpu_cores: 1, memory_mb: 256 },
    initramfs: { url: `file://${join(IMAGES, 'hello.cpio')}` },
    workload: {
      type: 'http',
      base_url: 'http://127.0.0.1:9',
      entrypoint: ['/bin/sh', '-c', SETUP],
    },
  });
  if (answer.status !== 201) throw new Error(answer.text);
}

async function untilThere(client: VolantClient): Promise<void> {
  const signal = AbortSignal.timeout(60_000);
  for (;;) {
    try {
      await client.files.stat('one', '/fixed/f');
      return;
    } catch (error) {
      if (signal.aborted) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
