#!/usr/bin/env node
// cli: volar as a process: its arguments, environment, streams and exit status.

import { runCli } from './program.ts';

// Whoever reads the output may have seen enough, such as `head`: that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

process.exitCode = await runCli(process.argv.slice(2), process, process.env);
