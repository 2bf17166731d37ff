#!/usr/bin/env node
// load: volant-load as a process: its arguments, environment, streams, signals and exit status.

import { runCommand } from './command.ts';
import { EXIT } from './exit-status.ts';
import { cleanCommand } from './owned/cleanup.ts';

const interrupt = new AbortController();
let label: string | undefined;

/** The first time the run ends and removes what it made. The second time nothing is waited for. */
function onInterrupt(): void {
  if (interrupt.signal.aborted) {
    const remedy = label === undefined ? '' : `; \`${cleanCommand(label)}\` removes what is left`;
    process.stderr.write(`Ended at once${remedy}\n`);
    process.exit(EXIT.interrupted);
  }
  const again = label === undefined ? '' : ' and removing what the run made';
  process.stderr.write(`\nEnding${again}; once more ends at once\n`);
  interrupt.abort();
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onInterrupt);

// A reader such as `head` may close the output early; this is not a failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

process.exitCode = await runCommand(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  environment: process.env,
  signal: interrupt.signal,
  onLabel: (given) => {
    label = given;
  },
});
