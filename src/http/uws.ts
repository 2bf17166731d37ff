// http: the only importer of uWebSockets.js. The package is CommonJS without named exports that the
// loader could see, so they are taken from its default.

import uWS, {
  type HttpResponse as AnyHttpResponse,
  type WebSocket as AnyWebSocket,
} from 'uWebSockets.js';

// What the binary can do and the package's types leave out.
declare module 'uWebSockets.js' {
  interface TemplatedApp {
    listen(
      host: string,
      port: number,
      options: number,
      callback: (socket: us_listen_socket | false) => void,
    ): TemplatedApp;
    /** Called when a connection is opened, with 1, and when it is closed, with -1; not when a WebSocket is. */
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

/** Takes the text of a body as bytes only: see `utf8`. */
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
 * Text as it is sent. The server's binary for Node 24 would write a string as Latin-1 where that has all its
 * characters, those for older versions as UTF-8.
 */
export const utf8 = (text: string): Uint8Array => Buffer.from(text);

export const { App, SSLApp, us_listen_socket_close, us_socket_local_port } = uWS;

/** A second listener on the same port fails instead of sharing it (LIBUS_LISTEN_EXCLUSIVE_PORT). */
export const LISTEN_EXCLUSIVE = 1;
