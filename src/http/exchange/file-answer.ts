// http, exchange: an answer with the content of a file, read piece by piece at the client's speed.

import { setTimeout as pause } from 'node:timers/promises';
import { LIMITS } from '../../config/limits.ts';
import type { StateBackup } from '../../engine/engine-api.ts';
import type { Exchange } from './exchange.ts';

/**
 * Sends the whole file and closes it in any case. Resolves when the client has everything, has disconnected or was
 * disconnected.
 */
export async function sendDownload(
  exchange: Exchange,
  source: StateBackup,
  headers: Readonly<Record<string, string>>,
): Promise<void> {
  const release = exchange.handOver();
  try {
    if (exchange.open) writeHead(exchange, headers);
    await sendBody(exchange, source);
  } catch (error) {
    // Closing the connection is the only way to mark an incomplete answer.
    if (exchange.open) exchange.response.close();
    throw error;
  } finally {
    release();
    await source.close();
  }
}

function writeHead(
  { response, extraHeaders }: Exchange,
  headers: Readonly<Record<string, string>>,
) {
  response.cork(() => {
    for (const entry of [...Object.entries(headers), ...extraHeaders])
      response.writeHeader(...entry);
  });
}

async function sendBody(exchange: Exchange, source: StateBackup): Promise<void> {
  const { response } = exchange;
  while (exchange.open) {
    const chunk = await source.read(response.getWriteOffset(), LIMITS.backupChunkBytes);
    if (!exchange.open) return;
    let [taken, complete] = [false, false];
    const writable = new Promise<'writable'>((resolve) => {
      response.cork(() => {
        response.onWritable(() => {
          resolve('writable');
          return true;
        });
        [taken, complete] = response.tryEnd(chunk, source.sizeBytes);
      });
    });
    if (complete) return;
    if (!taken && !(await isInTime(writable, exchange))) {
      if (exchange.open) response.close();
      return;
    }
  }
}

/** Resolves with whether the socket became writable in time. Does not wait for a client that disconnected. */
async function isInTime(writable: Promise<'writable'>, exchange: Exchange): Promise<boolean> {
  const waiting = new AbortController();
  const gone = new Promise<'gone'>((resolve) => exchange.onAborted(() => resolve('gone')));
  const stuck = pause(LIMITS.backupStallMs, 'stuck', { signal: waiting.signal, ref: false }).catch(
    () => 'stuck',
  );
  const first = await Promise.race([writable, gone, stuck]);
  waiting.abort();
  return first === 'writable';
}
