// load, generator: the program of a generator process. It is started by run/generators.ts, and speaks with it over the IPC
// channel of Node alone.

import { Generator } from './generator.ts';
import type { FromGenerator, ToGenerator } from './protocol.ts';

/** The main process has ended, and nobody can receive what was measured. */
const EXIT_ALONE = 3;

let generator: Generator | undefined;
/** true: everything was reported, and this process closed the channel itself. */
let isFinished = false;

function send(message: FromGenerator): void {
  process.send?.(message, undefined, {}, () => {
    if (message.kind !== 'finished') return;
    isFinished = true;
    process.disconnect();
  });
}

function fail(error: unknown): void {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  process.exit(1);
}

// Ctrl-C reaches every process of the terminal. The main process decides what it means, and says so.
process.on('SIGINT', () => undefined);
process.on('disconnect', () => process.exit(isFinished ? 0 : EXIT_ALONE));

process.on('message', (message: ToGenerator) => {
  switch (message.kind) {
    case 'prepare':
      generator = new Generator(message.order, send);
      generator.prepare().then(() => send({ kind: 'prepared' }), fail);
      return;
    case 'begin':
      generator?.run(message.atMs, message.sinceRunMs).catch(fail);
      return;
    case 'end':
      generator?.end(message.drainMs);
      return;
  }
});
