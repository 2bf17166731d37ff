#!/usr/bin/env node
// cli: volar as a process: its arguments, environment, streams and exit status.

import { runCli } from './program.ts';

// A reader such as `head` may close the output early; this is not a failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // A command that has something to clean up listens for that, and ends then.
  if (process.emit('SIGPIPE', 'SIGPIPE')) return;
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

process.exitCode = await runCli(process.argv.slice(2), process, process.env);
