// bench: the bound for reads and for event streams: nothing but the HTTP server library. It answers a constant, and
// writes a constant to every open stream on request.

import uWS, { type HttpResponse } from 'uWebSockets.js';

const [port = '0', size = '300', contentType = 'application/json'] = process.argv.slice(2);
const body = 'x'.repeat(Number(size));
const readers = new Set<HttpResponse>();

/** As a program would do it that knows its readers: one corked write for each event and reader. */
function writeEvents(count: number, frame: string): void {
  for (const reader of readers) reader.cork(() => reader.write(frame));
  if (count > 1) setImmediate(() => writeEvents(count - 1, frame));
}

uWS
  .App()
  .get('/stream', (response) => {
    response.onAborted(() => readers.delete(response));
    response.cork(() => {
      response.writeStatus('200 OK');
      response.writeHeader('Content-Type', 'text/event-stream');
      response.write(': connected\n\n');
    });
    readers.add(response);
  })
  .get('/write/:count/:bytes', (response, request) => {
    const count = Number(request.getParameter(0));
    const head = 'id: 1\ndata: ';
    const fill = 'x'.repeat(Number(request.getParameter(1)) - head.length - 2);
    response.end('ok');
    writeEvents(count, `${head}${fill}\n\n`);
  })
  .get('/*', (response) => {
    response.writeStatus('200 OK');
    response.writeHeader('Content-Type', contentType);
    response.end(body);
  })
  .listen('127.0.0.1', Number(port), (socket) => {
    process.stdout.write(socket ? 'listening\n' : 'port taken\n');
  });
