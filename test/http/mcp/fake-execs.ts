// test helpers: an agent whose programs have all ended with the output "out", and take any input.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

const DESCRIBED = {
  id: 'a1',
  argv: ['true'],
  user: 'root',
  tty: false,
  over: true,
  exit_code: 0,
  exit_signal: null,
  timed_out: false,
  started_at: '2026-01-05T08:30:00.123Z',
  ended_at: '2026-01-05T08:30:01.123Z',
  stdin_open: false,
  stdin_bytes: 0,
  stdout_start: 0,
  stdout_end: 3,
  stderr_start: 0,
  stderr_end: 0,
};

/** What is sent before the program is said to have ended, so that input comes first. */
const END_AFTER_MS = 50;

/** Answers a request about execs. false: it is about something else. */
export function answerExec({ url = '', method }: IncomingMessage, answer: ServerResponse): boolean {
  if (!url.startsWith('/agent/exec')) return false;
  if (method === 'POST' && url === '/agent/exec') {
    answer.writeHead(201).end(JSON.stringify(DESCRIBED));
  } else if (method === 'POST' || method === 'DELETE') {
    answer.writeHead(204).end();
  } else {
    answer.end(JSON.stringify(url === '/agent/exec' ? [DESCRIBED] : DESCRIBED));
  }
  return true;
}

function frame(type: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt8(type, 0);
  head.writeUIntLE(payload.length, 1, 3);
  return Buffer.concat([head, payload]);
}

/** Serves a connection to an exec: all input that comes in one piece is taken. */
export function attachExec({ url = '' }: IncomingMessage, stream: Duplex): void {
  stream.on('error', () => undefined);
  stream.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n');
  const offset = Buffer.alloc(8);
  if (url.includes('stdout=0')) stream.write(frame(1, Buffer.concat([offset, Buffer.from('out')])));
  const end = setTimeout(() => {
    stream.write(frame(4, Buffer.from(JSON.stringify(DESCRIBED))));
  }, END_AFTER_MS);
  stream.once('data', () => {
    clearTimeout(end);
    const taken = Buffer.alloc(9);
    taken.writeUInt32LE(1, 0);
    taken.writeUInt8(1, 8);
    stream.write(frame(3, taken));
  });
  stream.once('close', () => clearTimeout(end));
}
