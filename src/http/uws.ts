// http: the only importer of uWebSockets.js. The package is CommonJS without named exports that the
// loader could see, so they are taken from its default.

import uWS from 'uWebSockets.js';

// What the binary can do and the package's types leave out.
declare module 'uWebSockets.js' {
  interface TemplatedApp {
    listen(
      host: string,
      port: number,
      options: number,
      callback: (socket: us_listen_socket | false) => void,
    ): TemplatedApp;
  }
}

export type {
  HttpRequest,
  HttpResponse,
  TemplatedApp,
  us_listen_socket,
  us_socket_context_t,
  WebSocket,
  WebSocketBehavior,
} from 'uWebSockets.js';

export const { App, SSLApp, us_listen_socket_close, us_socket_local_port } = uWS;

/** A second listener on the same port fails instead of sharing it (LIBUS_LISTEN_EXCLUSIVE_PORT). */
export const LISTEN_EXCLUSIVE = 1;
