// The program that cache.test.ts runs on a small disk: 40 MiB more than the reserve. It prints what happened.

import { mkdirSync, readdirSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { LIMITS } from '../../../../src/config/limits.ts';
import { loadConfig } from '../../../../src/config.ts';
import { createHost } from '../../../../src/host/host.ts';
import { startThreads } from '../../../../src/workers/pool.ts';
import { silentLog } from '../../../engine/fakes.ts';

export interface FullCacheReport {
  readonly cachedAfterTrim: number;
  readonly tooLarge: string;
  readonly partialBytes: number;
  readonly overlay: string;
}

const MEBIBYTE = 2 ** 20;

const home = process.argv[2] ?? '';
const cache = join(home, 'cache/sha256');
mkdirSync(cache, { recursive: true });
const unused = join(cache, 'a'.repeat(64));
writeFileSync(unused, Buffer.alloc(25 * MEBIBYTE));
const longAgo = (Date.now() - 2 * LIMITS.mediaKeepMs) / 1000;
utimesSync(unused, longAgo, longAgo);

const server = createServer((request, response) => {
  const bytes = Number(request.url?.slice(1)) * MEBIBYTE;
  response.writeHead(200, { 'content-length': bytes });
  response.end(Buffer.alloc(bytes));
});
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
const host = createHost(
  loadConfig({ VOLANT_HOME: home, VOLANT_MEDIA_HOSTS: '127.0.0.1' }),
  silentLog,
  startThreads,
);
const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'none',
    (error) => error.code,
  );

const fetched = await host.media.fetchMedium(`${url}/30`, null, () => undefined);
const cachedAfterTrim = readdirSync(cache).length;
const tooLarge = await codeOf(host.media.fetchMedium(`${url}/60`, null, () => undefined));
const partials = join(home, 'cache/partial');
const partialBytes = readdirSync(partials)
  .filter((name) => !name.endsWith('.json'))
  .reduce((sum, name) => sum + statSync(join(partials, name)).size, 0);
writeFileSync(join(home, 'filler'), Buffer.alloc(20 * MEBIBYTE));
const disk = {
  name: 'data',
  field: 'disks[0].source',
  reference: { location: url, checksum: null },
  path: fetched.realPath,
  format: 'raw',
  fileSystem: null,
  isRoot: false,
  readonly: false,
  made: null,
} as const;
const overlay = await codeOf(host.media.provideDisks(1, [disk], null));
await host.close();
server.closeAllConnections();
server.close();
const report: FullCacheReport = { cachedAfterTrim, tooLarge, partialBytes, overlay };
process.stdout.write(JSON.stringify(report));
