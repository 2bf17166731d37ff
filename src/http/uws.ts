// http: the only importer of uWebSockets.js. The package is CommonJS, and Node's loader finds no named exports in it, so
// they are taken from its default export.

import uWS, {
  type HttpResponse as AnyHttpResponse,
  type WebSocket as AnyWebSocket,
} from 'uWebSockets.js';

// Parts of the library that are missing from the package's types.
declare module 'uWebSockets.js' {
  interface TemplatedApp {
    listen(
      host: string,
      port: number,
      options: number,
      callback: (socket: us_listen_socket | false) => void,
    ): TemplatedApp;
    /** Called with 1 when a connection is opened, and with -1 when it is closed; not when a WebSocket is closed. */
    filter(callback: (response: AnyHttpResponse, change: number) => void): TemplatedApp;
  }
}

export type {
  HttpRequest,
  TemplatedApp,
  us_listen_socket,
  us_socket_context_t,
  WebSocketBehavior,
} from 'uWebSockets.js';

/** Takes text as bytes only: see `utf8`. */
export interface HttpResponse
  extends Pick<
    AnyHttpResponse,
    | 'close'
    | 'cork'
    | 'endWithoutBody'
    | 'getRemoteAddress'
    | 'getRemoteAddressAsText'
    | 'getWriteOffset'
    | 'onAborted'
    | 'onData'
    | 'onWritable'
    | 'pause'
    | 'resume'
    | 'upgrade'
    | 'writeHeader'
    | 'writeStatus'
  > {
  end(body?: Uint8Array, closeConnection?: boolean): unknown;
  tryEnd(body: Uint8Array, bytes: number): [boolean, boolean];
  write(chunk: Uint8Array): boolean;
}

/** Takes text as bytes only: see `utf8`. */
export interface WebSocket<T> extends Omit<AnyWebSocket<T>, 'end' | 'send'> {
  send(message: Uint8Array, isBinary: boolean): number;
  end(code: number, reason: Uint8Array): void;
}

/**
 * The bytes of a text as UTF-8. The library for Node 24 writes a string as Latin-1 if that has all its characters; for
 * older versions it writes UTF-8.
 */
export const utf8 = (text: string): Uint8Array => Buffer.from(text);

/** For texts that are sent at once. Of a character of UTF-16 there are at most three bytes. */
const SHORT_CHARACTERS_MAX = 16 * 1024;
const scratch = Buffer.allocUnsafeSlow(3 * SHORT_CHARACTERS_MAX);

/**
 * As `utf8`, but valid only until the next call: for what the library has copied or sent when its call returns. It saves a
 * buffer for each answer.
 */
export function utf8Briefly(text: string): Uint8Array {
  if (text.length > SHORT_CHARACTERS_MAX) return utf8(text);
  return scratch.subarray(0, scratch.write(text));
}

export const { App, SSLApp, us_listen_socket_close, us_socket_local_port } = uWS;

/** A second listener on the same port fails instead of sharing it (LIBUS_LISTEN_EXCLUSIVE_PORT). */
export const LISTEN_EXCLUSIVE = 1;
