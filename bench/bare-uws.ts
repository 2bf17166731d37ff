// bench: the bound for reads: nothing but the HTTP server library, answering a constant.

import uWS from 'uWebSockets.js';

const [port = '0', size = '300', contentType = 'application/json'] = process.argv.slice(2);
const body = 'x'.repeat(Number(size));

uWS
  .App()
  .get('/*', (response) => {
    response.writeStatus('200 OK');
    response.writeHeader('Content-Type', contentType);
    response.end(body);
  })
  .listen('127.0.0.1', Number(port), (socket) => {
    process.stdout.write(socket ? 'listening\n' : 'port taken\n');
  });
