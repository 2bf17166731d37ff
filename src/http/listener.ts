// http: where the server listens, and the apps behind it. One app is enough, unless the certificate
// changes: then a new app takes the address over, and what is connected to an older one goes on there.

import { chmodSync, lstatSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { LIMITS } from '../config.ts';
import type { ListenAddress } from '../lib/settings.ts';
import {
  LISTEN_EXCLUSIVE,
  type TemplatedApp,
  type us_listen_socket,
  us_listen_socket_close,
  us_socket_local_port,
} from './uws.ts';

export class Listener {
  readonly #address: ListenAddress;
  /** The newest last. */
  readonly #apps: TemplatedApp[] = [];
  #socket: us_listen_socket | null = null;
  /** null on a unix socket; another one than was asked for when that was 0. */
  port: number | null = null;

  constructor(address: ListenAddress) {
    this.#address = address;
  }

  /**
   * Resolves when it listens. Rejects with a sentence for a person when the address is taken. An app that
   * will be replaced must not have its port from the kernel: the server lets nobody have that again while
   * connections to it are open. So the port is asked for, and then listened on by its number.
   */
  async open(app: TemplatedApp, willBeReplaced: boolean): Promise<void> {
    let address = this.#address;
    if (willBeReplaced && address.kind === 'tcp' && address.port === 0) {
      const first = await listen(app, address);
      address = { ...address, port: us_socket_local_port(first) };
      us_listen_socket_close(first);
    }
    this.#socket = await listen(app, address);
    this.#apps.push(app);
    if (this.#address.kind === 'tcp') this.port = us_socket_local_port(this.#socket);
  }

  /**
   * The address goes from the app that has it to this one. Between the two nobody listens for less than
   * a millisecond: who connects just then is refused and comes again. `onTaken` is told when another
   * program was quicker; the address is then asked for until it is free.
   */
  async replace(app: TemplatedApp, onTaken: (why: string) => void): Promise<void> {
    if (this.#socket === null || this.#address.kind === 'unix') return;
    us_listen_socket_close(this.#socket);
    this.#socket = null;
    const address = { ...this.#address, port: this.port ?? this.#address.port };
    for (;;) {
      try {
        this.#socket = await listen(app, address);
        break;
      } catch (error) {
        onTaken(error instanceof Error ? error.message : String(error));
        await pause(LIMITS.filesWatchMs, undefined, { ref: false });
      }
    }
    this.#apps.push(app);
    // Each one keeps what is connected to it; the oldest pays for there being too many.
    while (this.#apps.length > LIMITS.tlsCertificatesMax) this.#apps.shift()?.close();
  }

  /** Takes no new connections. */
  drain(): void {
    if (this.#socket !== null) us_listen_socket_close(this.#socket);
    this.#socket = null;
  }

  /** Closes every connection. */
  close(): void {
    this.#socket = null;
    for (const app of this.#apps.splice(0)) app.close();
    if (this.#address.kind === 'unix' && kindOf(this.#address.path) === 'socket') {
      rmSync(this.#address.path, { force: true });
    }
  }
}

type Kind = 'nothing' | 'socket' | 'other';

function kindOf(path: string): Kind {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return 'nothing';
  return found.isSocket() ? 'socket' : 'other';
}

/** A daemon that was killed leaves its socket behind. Anything else at that path is somebody's. */
async function clearSocketPath(path: string): Promise<void> {
  const kind = kindOf(path);
  if (kind === 'nothing') return;
  if (kind === 'other') {
    throw new Error(`${path} (VOLANT_API_LISTEN) is no socket: name another path, or remove it`);
  }
  if (await somebodyListens(path)) {
    throw new Error(`${path} (VOLANT_API_LISTEN) is the socket of a program that runs`);
  }
  rmSync(path, { force: true });
}

function somebodyListens(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    // A full backlog is somebody, too; only a refusal tells that nobody is there.
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED'));
  });
}

async function listen(app: TemplatedApp, address: ListenAddress): Promise<us_listen_socket> {
  if (address.kind === 'unix') await clearSocketPath(address.path);
  return new Promise((resolve, reject) => {
    const taken = (where: string) =>
      new Error(`${where} cannot be listened on: another program has it, or it is not ours`);
    if (address.kind === 'tcp') {
      const { host, port } = address;
      app.listen(host, port, LISTEN_EXCLUSIVE, (socket) => {
        if (socket) resolve(socket);
        else reject(taken(`${host}:${port} (VOLANT_API_LISTEN)`));
      });
      return;
    }
    app.listen_unix((socket) => {
      if (!socket) return reject(taken(address.path));
      // For root and its group: an operator may hand the socket to a group by its directory.
      chmodSync(address.path, 0o660);
      resolve(socket);
    }, address.path);
  });
}
