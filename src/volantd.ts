#!/usr/bin/env node
// volantd: the command that the package installs. Commands about the host are programs of scripts/ and need no build;
// everything else is main.ts.

import { fileURLToPath } from 'node:url';
import { answerWithoutDaemon, parseArguments } from './command.ts';

const HOST_COMMANDS = new Map([
  ['setup', 'setup.mjs'],
  ['up', 'up.mjs'],
  ['down', 'down.mjs'],
  ['image', 'image.mjs'],
  ['install-service', 'install-service.mjs'],
  ['uninstall-service', 'uninstall-service.mjs'],
]);

const [first = '', ...others] = process.argv.slice(2);
const script = HOST_COMMANDS.get(first);
if (script !== undefined) {
  const file = fileURLToPath(new URL(`../scripts/${script}`, import.meta.url));
  process.argv.splice(1, process.argv.length, file, ...others);
  await import(file);
} else {
  const answer = answerWithoutDaemon(parseArguments(process.argv.slice(2)), process.env);
  if (answer === null) {
    await import('./main.ts');
  } else {
    process.stdout.write(answer.stdout);
    process.stderr.write(answer.stderr);
    process.exitCode = answer.status;
  }
}
