// http, exchange: sends a body that is generated in pieces. Other requests are served between two pieces, and a piece is
// generated only when the client can take it.

import { type HttpResponse, utf8 } from '../uws.ts';

/**
 * Sends every piece after a head that was written already. `isWanted` is false after the client disconnected: the response
 * is not touched then, and the caller releases the pieces. A piece that cannot be made ends the connection. The server
 * disconnects a client that takes nothing for ten seconds.
 */
export function sendPieces(
  response: HttpResponse,
  pieces: Iterator<string, void, void>,
  isWanted: () => boolean,
  onSent: () => void,
  onFailed: (error: unknown) => void,
): void {
  let isDue = false;
  const sendNext = () => {
    isDue = false;
    if (!isWanted()) return;
    let next: IteratorResult<string, void>;
    try {
      next = pieces.next();
    } catch (error) {
      onFailed(error);
      // Closing the connection is the only way to mark an incomplete answer.
      response.close();
      return;
    }
    let isTaken = true;
    response.cork(() => {
      if (next.done === true) response.end();
      else isTaken = response.write(utf8(next.value));
    });
    if (next.done === true) onSent();
    else if (isTaken) sendSoon();
  };
  const sendSoon = () => {
    if (isDue) return;
    isDue = true;
    setImmediate(sendNext);
  };
  response.onWritable(() => {
    sendSoon();
    return true;
  });
  sendSoon();
}
