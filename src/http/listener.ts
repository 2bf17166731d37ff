// http: where the server listens, and its apps. One app is enough, unless the certificate changes: then a new app takes
// over the address, and existing connections stay with the older one.

import { lookup } from 'node:dns/promises';
import { chmodSync, lstatSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { LIMITS } from '../config/limits.ts';
import { isLocalhost } from '../lib/net/localhost.ts';
import type { ListenAddress } from '../lib/settings.ts';
import type { AcceptGate } from './accept-gate.ts';
import {
  LISTEN_EXCLUSIVE,
  type TemplatedApp,
  type us_listen_socket,
  us_listen_socket_close,
  us_socket_local_port,
} from './uws.ts';

export class Listener {
  /** As configured; once the server listens, its host is an IP address. */
  #address: ListenAddress;
  readonly #gate: AcceptGate;
  /** The newest is last. */
  readonly #apps: TemplatedApp[] = [];
  #socket: us_listen_socket | null = null;
  /** null on a unix socket. If port 0 was configured, the port that the kernel chose. */
  port: number | null = null;

  constructor(address: ListenAddress, gate: AcceptGate) {
    this.#address = address;
    this.#gate = gate;
  }

  /**
   * Resolves when the server listens. Rejects with a sentence for the operator if the address is in use or its name is
   * unknown. The server cannot rebind a port that the kernel chose while connections to it are open. So for an app that
   * will be replaced, the port is determined first, and then bound by its number.
   */
  async open(app: TemplatedApp, willBeReplaced: boolean): Promise<void> {
    this.#address = await resolved(this.#address);
    let address = this.#address;
    if (willBeReplaced && address.kind === 'tcp' && address.port === 0) {
      this.#socket = await listen(app, address, this.#gate);
      address = { ...address, port: us_socket_local_port(this.#socket) };
      this.drain();
    }
    this.#socket = await listen(app, address, this.#gate);
    this.#apps.push(app);
    if (this.#address.kind === 'tcp') this.port = us_socket_local_port(this.#socket);
  }

  /**
   * Moves the address from its current app to this one. Nobody listens for less than a millisecond: a client that connects
   * then is refused and has to retry. `onTaken` is called if another program takes the address in between; binding is then
   * retried until it succeeds.
   */
  async replace(app: TemplatedApp, onTaken: (why: string) => void): Promise<void> {
    if (this.#socket === null || this.#address.kind === 'unix') return;
    this.drain();
    const address = { ...this.#address, port: this.port ?? this.#address.port };
    for (;;) {
      try {
        this.#socket = await listen(app, address, this.#gate);
        break;
      } catch (error) {
        onTaken(error instanceof Error ? error.message : String(error));
        await pause(LIMITS.filesWatchMs, undefined, { ref: false });
      }
    }
    this.#apps.push(app);
    // Each app keeps its connections. Above the bound, the oldest app is closed.
    while (this.#apps.length > LIMITS.tlsCertificatesMax) this.#apps.shift()?.close();
  }

  /** Accepts no new connections. */
  drain(): void {
    // The server must close the socket that listens, so the gate returns it.
    this.#gate.end();
    if (this.#socket !== null) us_listen_socket_close(this.#socket);
    this.#socket = null;
  }

  /** Closes every connection. */
  close(): void {
    this.#gate.end();
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

/** A daemon that was killed leaves its socket file behind. Any other file at that path belongs to somebody else. */
async function clearSocketPath(path: string): Promise<void> {
  const kind = kindOf(path);
  if (kind === 'nothing') return;
  if (kind === 'other') {
    throw new Error(
      `${path} (VOLANT_API_LISTEN) is not a socket: set another path, or remove the file`,
    );
  }
  if (await somebodyListens(path)) {
    throw new Error(`${path} (VOLANT_API_LISTEN) is the socket of a running program`);
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
    // A full backlog means that a program listens, too. Only a refusal means that none does.
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED'));
  });
}

/**
 * The address by number. For a name that has both kinds, the server's library listens on the IPv6 address only, and most
 * systems have both for `localhost`. Clients that use 127.0.0.1 would be refused.
 */
async function resolved(address: ListenAddress): Promise<ListenAddress> {
  if (address.kind === 'unix') return address;
  // No name server says where it is.
  if (isLocalhost(address.host)) return { ...address, host: '127.0.0.1' };
  try {
    const found = await lookup(address.host, { all: true });
    const best = found.find(({ family }) => family === 4) ?? found[0];
    return { ...address, host: best?.address ?? address.host };
  } catch (error) {
    throw new Error(`${address.host} (VOLANT_API_LISTEN) is not an address of this host`, {
      cause: error,
    });
  }
}

async function listen(
  app: TemplatedApp,
  address: ListenAddress,
  gate: AcceptGate,
): Promise<us_listen_socket> {
  if (address.kind === 'unix') await clearSocketPath(address.path);
  let opened = false as us_listen_socket | false;
  // The server calls back before listen() returns.
  const onOpened = (socket: us_listen_socket | false) => {
    opened = socket;
  };
  try {
    gate.guard(() => {
      if (address.kind === 'unix') app.listen_unix(onOpened, address.path);
      else app.listen(address.host, address.port, LISTEN_EXCLUSIVE, onOpened);
      return Boolean(opened);
    });
  } catch (error) {
    // Releases the address for the next attempt.
    if (opened) us_listen_socket_close(opened);
    throw error;
  }
  if (!opened) {
    const { kind } = address;
    const where =
      kind === 'unix' ? address.path : `${address.host}:${address.port} (VOLANT_API_LISTEN)`;
    throw new Error(
      `${where} cannot be bound: another program uses it, or it does not belong to this host`,
    );
  }
  // For root and its group: an operator may give a group access through the directory.
  if (address.kind === 'unix') chmodSync(address.path, 0o660);
  return opened;
}
