// client: WebSockets as this client needs them: a class that is passed in, and the events of one connection. Types only.

/** The members of the standard WebSocket that are used here. */
export interface WebSocketLike {
  binaryType: string;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(code?: number): void;
  /** Only the class of ws has these. */
  pause?(): void;
  resume?(): void;
}

/** Takes headers in its second argument, as the class of ws and the global one of Node do. */
export type WebSocketConstructor = new (
  url: string,
  options: { headers: Record<string, string>; ca?: string },
) => WebSocketLike;

export interface SocketHandlers {
  readonly onOpen: () => void;
  readonly onMessage: (data: unknown) => void;
  /** Called once; without an error if the WebSocket was closed in order. */
  readonly onEnd: (error: Error | undefined, reason: string) => void;
}
