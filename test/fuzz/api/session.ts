// fuzz, api: several clients at once, each with its own part of the requests of a seed, and what they find. How the daemon is
// started, and what must hold after the run, is the test's business.

import type { DocumentChecker } from '../../helpers/document.ts';
import { Random } from '../mutate.ts';
import { Connection, type Ending } from './connection.ts';
import { type World, worldOf } from './hints.ts';
import { Judge } from './judge.ts';
import { type Read, readBack } from './readback.ts';
import { bytesOf, type FuzzRequest, Requests } from './requests.ts';
import type { Json } from './values.ts';

export interface SessionOptions {
  readonly port: number;
  readonly document: Json;
  readonly checker: DocumentChecker;
  readonly manifest: Json;
  readonly image: string;
  readonly seed: number;
  readonly count: number;
  readonly clients: number;
}

export interface ApiFinding {
  readonly index: number;
  readonly problem: string;
  /** The beginning of what was sent. */
  readonly sent: string;
}

/** No operation takes longer: those that wait are told how long. */
const ANSWER_MS = 60_000;
const SENT_CHARACTERS_MAX = 1_500;
/** Findings of one kind are told once. */
const FINDINGS_MAX = 40;

export class Session {
  readonly #options: SessionOptions;
  readonly #requests: Requests;
  readonly #judge: Judge;
  readonly #kinds = new Map<string, number>();
  readonly findings: ApiFinding[] = [];
  /** Answers by operation and status. */
  readonly counts = new Map<string, number>();

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#requests = new Requests(options.document);
    this.#judge = new Judge(options.checker);
  }

  get kinds(): ReadonlyMap<string, number> {
    return this.#kinds;
  }

  /** All requests, or only that with this index. */
  async run(only?: number): Promise<void> {
    const { clients } = this.#options;
    if (only !== undefined) {
      const client = new Client(this.#options.port);
      await this.#one(client, only % clients, only);
      client.close();
      return;
    }
    await Promise.all(Array.from({ length: clients }, (_, client) => this.#client(client)));
  }

  async #client(number: number): Promise<void> {
    const client = new Client(this.#options.port);
    for (let index = number; index < this.#options.count; index += this.#options.clients) {
      await this.#one(client, number, index);
    }
    client.close();
  }

  async #one(client: Client, number: number, index: number): Promise<void> {
    const { seed, manifest, image } = this.#options;
    const world: World = worldOf(number, manifest, image);
    const request = this.#requests.make(randomOf(seed, index), world);
    const ending = await client.exchange(request);
    const status = 'answer' in ending ? ending.answer.status : ending.kind;
    const kind = `${request.operation.id} ${request.kind} ${status}`;
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    for (const problem of this.#judge.problems(request, ending))
      this.#find(index, request, problem);
    const leftOver = client.leftOver();
    if (leftOver !== '')
      this.#find(index, request, `behind the answer came ${leftOver.slice(0, 200)}`);
    if (ending.kind !== 'answer') return;
    const read: Read = (path) => client.read(path);
    if (!isOwn(request, number)) return;
    for (const problem of await readBack(request, ending.answer, read)) {
      this.#find(index, request, problem);
    }
  }

  #find(index: number, request: FuzzRequest, problem: string): void {
    const kind = `${request.operation.id} ${problem.replaceAll(/[\d"].*/g, '')}`;
    const before = this.#kinds.get(kind) ?? 0;
    this.#kinds.set(kind, before + 1);
    if (before > 0 || this.findings.length >= FINDINGS_MAX) return;
    const sent = bytesOf(request, 'localhost').toString('latin1').slice(0, SENT_CHARACTERS_MAX);
    this.findings.push({ index, problem: `${request.operation.id}: ${problem}`, sent });
  }
}

/** One client's connection: kept while it is clean. */
class Client {
  readonly #port: number;
  #connection: Connection;

  constructor(port: number) {
    this.#port = port;
    this.#connection = new Connection(port);
  }

  async exchange(request: FuzzRequest): Promise<Ending> {
    const bytes = bytesOf(request, `127.0.0.1:${this.#port}`);
    const expected = { isHead: request.method === 'HEAD', isStream: true, timeoutMs: ANSWER_MS };
    const isReused = this.#connection.isClean;
    if (!isReused) this.#renew();
    this.#connection.send(bytes);
    let ending = await this.#connection.read(expected);
    // The server may have closed a connection that was silent for long, just before it was used again.
    if (ending.kind === 'closed' && isReused) {
      this.#renew();
      this.#connection.send(bytes);
      ending = await this.#connection.read(expected);
    }
    const isOver =
      ending.kind !== 'answer' ||
      ending.answer.status === 101 ||
      ending.answer.headers.get('connection') === 'close';
    if (isOver) this.#renew();
    return ending;
  }

  async read(path: string): Promise<{ status: number; body: Json }> {
    const ending = await this.exchange({ ...READ, target: path });
    if (ending.kind !== 'answer') throw new Error(`GET ${path}: ${ending.kind}`);
    const { status, text, headers } = ending.answer;
    const isJson = headers.get('content-type')?.startsWith('application/json') ?? false;
    return { status, body: isJson ? JSON.parse(text) : undefined };
  }

  /** Bytes that came behind an answer. */
  leftOver(): string {
    return this.#connection.leftOver;
  }

  close(): void {
    this.#connection.close();
  }

  #renew(): void {
    this.#connection.close();
    this.#connection = new Connection(this.#port);
  }
}

const READ: FuzzRequest = {
  operation: { id: 'read', method: 'GET', path: '', description: {} },
  method: 'GET',
  target: '',
  headers: [],
  body: null,
  value: undefined,
  kind: 'right',
  paths: [],
  isUpgrade: false,
};

/** Nobody else asks about this name. */
function isOwn({ target, value }: FuzzRequest, client: number): boolean {
  const { name } = (value ?? {}) as { name?: unknown };
  return `${target} ${typeof name === 'string' ? name : ''}`.includes(`-${client}-`);
}

/** The numbers of one request, whatever came before it. */
export function randomOf(seed: number, index: number): Random {
  // The finalizer of MurmurHash3: near numbers must not begin alike.
  let mixed = Math.imul(seed ^ Math.imul(index + 1, 0x9e3779b1), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return new Random(mixed ^ (mixed >>> 16));
}
