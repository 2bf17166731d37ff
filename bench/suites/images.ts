// bench: fifty VMs of one image from the network against one VM: they share one download, and none copies
// the image. With the simulator, so that only the daemon's own work counts.

import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type BenchDaemon, inParallel, startDaemon } from '../lib/daemon.ts';
import { type Row, row } from '../lib/row.ts';
import { median } from '../lib/statistics.ts';

const MEBIBYTE = 2 ** 20;
const VMS = 50;

export async function benchImages(quick: boolean): Promise<Row[]> {
  const rounds = quick ? 3 : 7;
  const sizeMb = 256;
  const server = await serveImages(sizeMb);
  const daemon = await startDaemon({
    VOLANT_HYPERVISOR: 'simulator',
    VOLANT_LOG_LEVEL: 'warn',
    VOLANT_MEDIA_HOSTS: '127.0.0.1',
  });
  try {
    // Bridge, threads and code are warm.
    await secondsFor(daemon, VMS, `${server.url}/warm`, 'warm');
    const [one, many]: [number[], number[]] = [[], []];
    for (let round = 0; round < rounds; round += 1) {
      one.push(await secondsFor(daemon, 1, `${server.url}/one-${round}`, `one-${round}`));
      many.push(await secondsFor(daemon, VMS, `${server.url}/many-${round}`, `many-${round}`));
    }
    const what = `${VMS} VMs of one new image of ${sizeMb} MiB`;
    return [row(what, 's', median(many), median(one), 'one VM of such an image', { atMost: 2 })];
  } finally {
    await daemon.stop();
    server.close();
  }
}

/** From the first request until all run. They are deleted again. */
async function secondsFor(
  daemon: BenchDaemon,
  count: number,
  url: string,
  prefix: string,
): Promise<number> {
  const expect = async (wanted: number, method: string, path: string, body?: object) => {
    const { status, text } = await daemon.call(method, path, body);
    if (status !== wanted) throw new Error(`${method} ${path} answered ${status}: ${text}`);
  };
  const startedMs = performance.now();
  await inParallel(count, count, (index) => {
    const name = `${prefix}-${index}`;
    return expect(201, 'POST', '/api/v1/vms', {
      name,
      plugin: 'hello',
      config: { rootfs: { url } },
    });
  });
  const seconds = (performance.now() - startedMs) / 1000;
  await inParallel(count, count, (index) =>
    expect(204, 'DELETE', `/api/v1/vms/${prefix}-${index}`),
  );
  return seconds;
}

/** Every path is another image. */
async function serveImages(sizeMb: number): Promise<{ readonly url: string; close(): void }> {
  const piece = randomBytes(MEBIBYTE);
  const server = createServer(async (request, response) => {
    const first = Buffer.alloc(MEBIBYTE, request.url ?? '');
    response.writeHead(200, { 'content-length': sizeMb * MEBIBYTE });
    for (let index = 0; index < sizeMb; index += 1) {
      const taken = response.write(index === 0 ? first : piece);
      if (!taken) await new Promise((resolve) => response.once('drain', resolve));
    }
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close };
}
