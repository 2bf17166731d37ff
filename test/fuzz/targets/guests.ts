// fuzz: what guests say to the daemon: frames of the agent's channel, answers about health, heads of answers,
// datagrams. A guest's root can say anything.

import type { RemoteInfo, Socket } from 'node:dgram';
import type { Duplex } from 'node:stream';
import { textOfResult } from '../../../src/engine/metadata/result-rules.ts';
import { UdpFlows } from '../../../src/host/network/udp-flows.ts';
import { headersForClient } from '../../../src/http/guests/guest-head.ts';
import { resultIn, workloadIn } from '../../../src/hypervisor/agent-client.ts';
import {
  encodeFrame,
  FRAME,
  type Frame,
  FrameParser,
  NONCE_BYTES,
  PAYLOAD_BYTES_MAX,
  WINDOW_BYTES,
} from '../../../src/hypervisor/agent-frames.ts';
import { AgentStream } from '../../../src/hypervisor/agent-stream.ts';
import { allowing, type FuzzTarget, hold, InputReader, piecesOf } from '../target.ts';

const NONCE = Buffer.alloc(NONCE_BYTES, 'n');
const ACKNOWLEDGEMENT = encodeFrame(FRAME.helloAck, 0, NONCE);

/** null when the parser gave up. */
function framesOf(pieces: readonly Buffer[]): Buffer | null {
  const parser = new FrameParser(NONCE);
  const said: Buffer[] = [];
  for (const piece of pieces) {
    const frames: readonly Frame[] | null = parser.push(piece);
    if (frames === null) return null;
    hold(parser.inStep || frames.length === 0, 'no frame comes before the greeting is answered');
    for (const { type, stream, payload } of frames) {
      hold(payload.length <= PAYLOAD_BYTES_MAX, 'a payload is bounded');
      said.push(encodeFrame(type, stream, payload));
    }
  }
  return Buffer.concat(said);
}

const agentFrames: FuzzTarget = {
  name: 'agent-frames',
  bytesMax: 16384,
  tokens: [ACKNOWLEDGEMENT.toString('latin1'), '\x04\0\x01\0\x01\0\0\0x', '\x07\0\0\0\x01\0\0\0'],
  run(input) {
    const pieces = piecesOf(input, input.length);
    framesOf(pieces);
    // What follows the greeting is the frames themselves, but for the reserved byte, whatever pieces it comes in.
    const whole = framesOf([Buffer.concat([ACKNOWLEDGEMENT, input])]);
    const cut = framesOf([ACKNOWLEDGEMENT, ...pieces]);
    if (whole === null || cut === null) {
      hold(whole === cut, 'pieces make no difference');
      return;
    }
    hold(whole.equals(cut), 'pieces make no difference');
    hold(input.length - whole.length < 8 + PAYLOAD_BYTES_MAX, 'all but the last frame is taken');
    for (let at = 0; at < whole.length; at += 1) {
      hold(whole[at] === input[at] || whole[at] === 0, 'frames are what was said');
    }
  },
};

const STREAM_ERRORS = /^the agent (sent|reset)/;

/** One stream between a user, whose steps the input says, and an agent, whose frames it says. */
class StreamTrial {
  readonly #stream: AgentStream;
  #granted = WINDOW_BYTES;
  #sent = 0;
  #received = 0;
  #allowed = WINDOW_BYTES;
  isForgotten = false;

  constructor() {
    const send = (frame: Buffer) => this.#take(frame);
    this.#stream = new AgentStream({ full: false, send, forget: () => this.#forget() }, 1);
    this.#stream.on('error', (error) => {
      hold(STREAM_ERRORS.test(error.message), `an error that is expected: ${error.message}`);
    });
  }

  step(reader: InputReader): void {
    const what = reader.byte() % 6;
    if (what === 0) this.#stream.read(reader.number() || undefined);
    else if (what === 1 && this.#isWritable()) this.#stream.write(Buffer.alloc(reader.number()));
    else if (what === 2 && this.#isWritable()) this.#stream.end();
    else if (what === 3)
      this.#say(FRAME.data, Buffer.alloc(reader.number() % (PAYLOAD_BYTES_MAX + 1)));
    else if (what === 4) this.#say(FRAME.window, reader.bytes(4));
    else this.#say(reader.byte() % 10, reader.bytes(reader.byte()));
    // Room is made when less than the high-water mark is left to be read.
    const bytesMax = WINDOW_BYTES + this.#stream.readableHighWaterMark;
    hold(this.#stream.readableLength <= bytesMax, 'a guest fills no more than the window');
    hold(this.#stream.listenerCount('end') <= 1, 'a guest makes nobody wait twice');
  }

  async end(): Promise<void> {
    this.#stream.destroy();
    await new Promise((resolve) => setImmediate(resolve));
    hold(this.isForgotten, 'a stream that is destroyed is forgotten');
  }

  #isWritable(): boolean {
    return (
      !this.#stream.writableEnded && !this.#stream.destroyed && this.#stream.writableLength === 0
    );
  }

  #say(type: number, payload: Buffer): void {
    if (this.isForgotten || this.#stream.destroyed) return;
    if (type === FRAME.window && payload.length === 4) this.#granted += payload.readUInt32LE();
    if (type === FRAME.data) this.#received += payload.length;
    this.#stream.receive(type, payload);
    const isBroken = this.#received > this.#allowed;
    if (isBroken) hold(this.#stream.destroyed, 'more than the window ends the stream');
  }

  /** What the stream sends. */
  #take(frame: Buffer): void {
    const type = frame.readUInt8();
    if (type === FRAME.data) this.#sent += frame.length - 8;
    if (type === FRAME.window) this.#allowed += frame.readUInt32LE(8);
    hold(this.#sent <= this.#granted, 'no more is sent than was granted');
    hold(this.#allowed <= this.#received + WINDOW_BYTES, 'no more is granted than was read');
  }

  #forget(): void {
    hold(!this.isForgotten, 'a stream is forgotten once');
    this.isForgotten = true;
  }
}

const agentStreams: FuzzTarget = {
  name: 'agent-streams',
  bytesMax: 1024,
  tokens: ['\x03\x10\0', '\x04\0\0\x01\0', '\x05\x06\0', '\x05\x07\0', '\x01\xff\xff', '\x02'],
  async run(input) {
    const reader = new InputReader(input);
    const trial = new StreamTrial();
    while (!reader.atEnd) trial.step(reader);
    await trial.end();
  },
};

const agentHealth: FuzzTarget = {
  name: 'agent-health',
  bytesMax: 4096,
  isJson: true,
  tokens: ['"workload":', '"state":', '"healthy":', 'null', '"running"'],
  run(input) {
    const isReported = (error: unknown) =>
      error instanceof Error && /^the answer of the agent is not /.test(error.message);
    const health = allowing(isReported, () => workloadIn(input.toString()));
    if (health === undefined) return;
    hold(typeof health.state === 'string' && health.state.length <= 32, 'a state is a short text');
    hold(health.reason.length <= 256 && health.lastExit.length <= 256, 'sentences are bounded');
    hold(health.restarts >= 0, 'nothing is started less than never');
    hold(health.healthy === null || typeof health.healthy === 'boolean', 'healthy or not, or null');
  },
};

const agentResult: FuzzTarget = {
  name: 'agent-result',
  bytesMax: 4096,
  tokens: ['1 json\n', '2 text\n', '{"a":[', ']}', '\xff', '\xef\xbb\xbf', '\n'],
  run(input) {
    const isReported = (error: unknown) =>
      error instanceof Error && error.message === 'the answer of the agent is no result';
    const result = allowing(isReported, () => resultIn(input));
    if (result === undefined) return;
    hold(Number.isSafeInteger(result.number), 'a number is one that can be told again');
    const rest = input.subarray(input.length - result.bytes.length);
    hold(rest.equals(result.bytes), 'what follows the line is the result');
    const text = textOfResult(result);
    if (text === null) return;
    hold(Buffer.from(text).equals(result.bytes), 'a text is what was posted');
    if (result.isJson) JSON.parse(text);
  },
};

const NEVER_FOR_CLIENTS =
  /^(connection|keep-alive|te|trailer|transfer-encoding|upgrade|content-length|set-cookie2?|content-security-policy|clear-site-data|strict-transport-security|access-control-.*)$/i;

const AGENT_PATH = '/api/v1/vms/one/agent';

/** Lines of a head, as node would give them. */
function rawHeaders(text: string): string[] {
  return text.split('\n').flatMap((line) => {
    const colon = line.indexOf(':');
    return colon < 1 ? [] : [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
}

const guestHeads: FuzzTarget = {
  name: 'guest-heads',
  bytesMax: 4096,
  tokens: [
    'Location: ',
    'Connection: ',
    '/../',
    '%2e%2e',
    '\\',
    '//',
    'http://127.0.0.1:8000/app/',
    '\t',
    '%252f',
    '?',
    '#',
    '@',
  ],
  run(input) {
    const [first = '', ...lines] = input.toString('latin1').split('\n');
    const [target = '', workloadUrl = ''] = first.split(' ');
    const place = { agentPath: AGENT_PATH, target, workloadUrl: workloadUrl || null };
    for (const [name, value] of headersForClient(rawHeaders(lines.join('\n')), () => place)) {
      hold(!NEVER_FOR_CLIENTS.test(name), `${name} is not for clients`);
      if (name.toLowerCase() !== 'location') continue;
      // As a client reads it, from where it asked.
      const asked = new URL(`http://daemon${AGENT_PATH}/v1/`);
      const { origin, pathname } = new URL(value, asked);
      hold(origin === asked.origin, `a redirect stays at the daemon: ${value}`);
      hold(
        `${pathname}/`.startsWith(`${AGENT_PATH}/v1/`),
        `a redirect stays in the guest: ${value}`,
      );
    }
  },
};

/** A socket that notes what is sent. */
class NotedSocket {
  #listener: (datagram: Buffer, sender: RemoteInfo) => void = () => undefined;
  readonly sent: Buffer[] = [];

  on(_event: 'message', listener: (datagram: Buffer, sender: RemoteInfo) => void): void {
    this.#listener = listener;
  }

  getSendQueueSize(): number {
    return 0;
  }

  send(datagram: Buffer): void {
    this.sent.push(Buffer.from(datagram));
  }

  deliver(datagram: Buffer): void {
    this.#listener(datagram, {
      address: '192.0.2.1',
      port: 1,
      family: 'IPv4',
      size: datagram.length,
    });
  }
}

const datagrams: FuzzTarget = {
  name: 'datagrams',
  bytesMax: 4096,
  tokens: ['\0\0', '\0\x01x', '\xff\xff', '\0\x10'],
  run(input) {
    const socket = new NotedSocket();
    const flows: Duplex[] = [];
    const serving = new UdpFlows(socket as unknown as Socket, (flow) => flows.push(flow) > 0);
    socket.deliver(Buffer.from('question'));
    for (const piece of piecesOf(input, input.length)) flows[0]?.write(piece);
    serving.close();
    const framed = socket.sent.map((datagram) => {
      const prefix = Buffer.alloc(2);
      prefix.writeUInt16BE(datagram.length);
      return Buffer.concat([prefix, datagram]);
    });
    const said = Buffer.concat(framed);
    hold(said.equals(input.subarray(0, said.length)), 'datagrams are what was said');
    const rest = input.subarray(said.length);
    hold(rest.length < 2 || rest.length < 2 + rest.readUInt16BE(), 'each that is complete is sent');
  },
};

export const guestTargets = [
  agentFrames,
  agentStreams,
  agentHealth,
  agentResult,
  guestHeads,
  datagrams,
];
