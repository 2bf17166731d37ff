// bench: the agent of a real guest, asked on its channel without a daemon: requests are texts, and what comes back is only
// counted. The hypervisor lets one in at a time, so the daemon must have ended.

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { AgentChannel } from '../../src/hypervisor/agent-channel.ts';
import { ExecFrameParser } from '../../src/lib/formats/exec-frames.ts';
import type { Logger } from '../../src/lib/log/log.ts';

/** What goes wrong is thrown here. */
const nothing = () => undefined;
const NO_LOG: Logger = {
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
  child: () => NO_LOG,
};

/** What the daemon says of a program when its client says nothing. */
const DEFAULTS = {
  tty: false,
  stdin: false,
  timeout_ms: 0,
  kill_after_ms: 5_000,
  output_bytes_max: 262_144,
};

const CONNECT_TIMEOUT_MS = 20_000;
const PIECE_BYTES = 64 * 1024;

export interface AgentByHand {
  /** Runs a program as the daemon does for a client that waits for its exit: one request to start it, one to hear of its end. */
  exec(argv: readonly string[]): Promise<void>;
  /** Sends so many bytes, which the agent reads and discards. */
  discard(bytes: number): Promise<void>;
  /** Reads a file of this size. */
  read(path: string, bytes: number): Promise<void>;
  close(): void;
}

/** Connects to the agent of the only VM of this home. */
export async function agentByHand(home: string): Promise<AgentByHand> {
  const sockets = readdirSync(join(home, 'run')).map((id) => join(home, 'run', id, 'agent.sock'));
  const path = sockets.find((socket) => existsSync(socket));
  if (path === undefined) throw new Error(`No VM of ${home} has an agent`);
  const channel = new AgentChannel(path, NO_LOG);
  await channel.ready(AbortSignal.timeout(CONNECT_TIMEOUT_MS));
  return {
    exec: async (argv) => {
      const id = randomBytes(8).toString('hex');
      const body = JSON.stringify({ id, argv, ...DEFAULTS });
      const length = `Content-Length: ${body.length}`;
      const start = ask(channel, `POST /agent/exec HTTP/1.1\r\nHost: agent\r\n${length}`, body);
      await untilWhole(start, '201');
      await untilEnd(channel, id);
    },
    discard: async (bytes) => {
      // Zeros are the end of an archive, and what follows it is read and discarded.
      const stream = ask(
        channel,
        `PUT /agent/files/dev/shm?format=tar HTTP/1.1\r\nHost: agent\r\nContent-Length: ${bytes}`,
      );
      const answered = untilWhole(stream, '200');
      await writeZeros(stream, bytes);
      await answered;
    },
    read: async (file, bytes) => {
      const stream = ask(channel, `GET /agent/files${file} HTTP/1.1\r\nHost: agent`);
      const read = await untilWhole(stream, '200');
      if (read !== bytes) throw new Error(`${file} has ${read} bytes`);
    },
    close: () => channel.close(),
  };
}

function ask(channel: AgentChannel, head: string, body = ''): Duplex {
  const stream = channel.open();
  stream.write(`${head}\r\n\r\n${body}`);
  return stream;
}

/** Writes as much as the stream takes. */
export async function writeZeros(stream: NodeJS.WritableStream, bytes: number): Promise<void> {
  const piece = Buffer.alloc(PIECE_BYTES);
  for (let left = bytes; left > 0; left -= PIECE_BYTES) {
    if (!stream.write(left < PIECE_BYTES ? piece.subarray(0, left) : piece)) {
      await once(stream, 'drain');
    }
  }
}

/** The bytes of an answer, when all of them have come. Throws for another status, and for an answer that breaks off. */
function untilWhole(stream: Duplex, status: string): Promise<number> {
  return new Promise((resolve, reject) => {
    let head = '';
    let bytes = 0;
    let wanted = -1;
    const take = (length: number) => {
      bytes += length;
      if (bytes < wanted) return;
      stream.destroy();
      resolve(bytes);
    };
    stream.on('error', reject);
    stream.on('close', () => reject(new Error(`The answer broke off: ${head}`)));
    stream.on('data', (chunk: Buffer) => {
      if (wanted >= 0) return take(chunk.length);
      head += chunk.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return;
      wanted = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
      if (!head.startsWith(`HTTP/1.1 ${status}`)) reject(new Error(`The agent answers ${head}`));
      take(head.length - end - 4);
    });
  });
}

/** Resolves when the agent says that the program has ended. */
function untilEnd(channel: AgentChannel, id: string): Promise<void> {
  const target = `/agent/exec/${id}/attach?stdout=0&stderr=0&late`;
  const upgrade = 'Connection: Upgrade\r\nUpgrade: tcp';
  const stream = ask(channel, `GET ${target} HTTP/1.1\r\nHost: agent\r\n${upgrade}`);
  return new Promise((resolve, reject) => {
    const parser = new ExecFrameParser();
    let head = '';
    let isSwitched = false;
    stream.on('error', reject);
    stream.on('close', () => reject(new Error(`The exec broke off: ${head}`)));
    stream.on('data', (chunk: Buffer) => {
      let frames = chunk;
      if (!isSwitched) {
        head += chunk.toString('latin1');
        const end = head.indexOf('\r\n\r\n');
        if (end < 0) return;
        isSwitched = true;
        frames = Buffer.from(head.slice(end + 4), 'latin1');
      }
      if (parser.push(frames)?.some(({ type }) => type === 'end') !== true) return;
      stream.destroy();
      resolve();
    });
  });
}
