// bench: fifty VMs of one image from the network against one VM: they share one download, and none copies
// the image. With the simulator, so that only the daemon's own work counts.

import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type BenchDaemon, deleteVms, inParallel, startDaemon } from '../lib/daemon.ts';
import { inRounds, inTurn } from '../lib/rounds.ts';
import type { Row } from '../lib/row.ts';

const MEBIBYTE = 2 ** 20;
const VMS = 50;

export async function benchImages(quick: boolean): Promise<Row[]> {
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
    const rounds = await inRounds(quick ? 5 : 9, async (index) => {
      const [many, one] = await inTurn(
        index,
        () => secondsFor(daemon, VMS, `${server.url}/many-${index}`, `many-${index}`),
        () => secondsFor(daemon, 1, `${server.url}/one-${index}`, `one-${index}`),
      );
      return { many: { ours: { value: many }, bound: { value: one } } };
    });
    const what = `${VMS} VMs of one new image of ${sizeMb} MiB`;
    return [rounds.row('many', what, 's', 'one VM of such an image', { atMost: 1.6 })];
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
  const startedMs = performance.now();
  await inParallel(count, count, async (index) => {
    const name = `${prefix}-${index}`;
    const body = { name, plugin: 'hello', config: { rootfs: { url } } };
    await daemon.expect(201, 'POST', '/api/v1/vms', body);
  });
  const seconds = (performance.now() - startedMs) / 1000;
  await deleteVms(daemon, count, count, prefix);
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
