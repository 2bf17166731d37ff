// http, guests: a client that was slow for a moment, and a guest that takes its time afterwards: the answer is whole. The server
// disconnects clients ten seconds after something that is not their fault, so this takes longer than that.

import assert from 'node:assert/strict';
import { get, type IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { serve } from '../served.ts';

const MIB = 1024 * 1024;
/** More than the buffers of a connection. */
const FIRST_BYTES = 64 * MIB;
const LATER_MS = 14_000;
const PAUSE_MS = 500;

function ask(port: number): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    get({ port, path: '/api/v1/vms/one/agent/v1/', agent: false }, resolve).on('error', reject);
  });
}

for (const kind of ['in chunks', 'of known length'] as const) {
  test(`an answer ${kind} is not cut off after its client has caught up`, async (t) => {
    const parts = LATER_MS / PAUSE_MS;
    const whole = FIRST_BYTES + parts * 100;
    let written = 0;
    async function* body() {
      for (; written < FIRST_BYTES; written += MIB) yield Buffer.alloc(MIB);
      for (let part = 0; part < parts; part += 1) {
        await pause(PAUSE_MS);
        yield Buffer.alloc(100);
      }
    }
    const { port } = await serve(t, {
      agent: (_, answer) => {
        if (kind === 'of known length') answer.setHeader('Content-Length', whole);
        Readable.from(body()).pipe(answer);
      },
    });
    const answer = await ask(port);
    answer.pause();
    await pause(1_000);
    assert.ok(written < FIRST_BYTES, 'the client holds the guest back');
    let bytes = 0;
    for await (const chunk of answer) bytes += chunk.length;
    assert.equal(bytes, whole);
  });
}
