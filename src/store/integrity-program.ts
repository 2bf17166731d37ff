// store: a program that reads every record of a state. integrity.ts runs it in a child process, because a damaged file can
// kill the process that maps it. It prints the problem as a JSON string, or null for a state without
// damage.

import { openEnvToRead } from './env.ts';
import { problemInRecords } from './whole-records.ts';

function answerFor(directory: string): string | null {
  try {
    const env = openEnvToRead(directory);
    return problemInRecords(env, env.tableNames());
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

process.stdout.write(JSON.stringify(answerFor(process.argv[2] ?? '')));
