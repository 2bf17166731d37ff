// scripts: the arguments of a script.

import { parseArgs } from 'node:util';
import { Failure } from './command.mjs';

/**
 * As parseArgs() of Node, but wrong arguments are a Failure that ends with `usage`. `--help` prints it and ends the process.
 */
export function readArguments(config, usage) {
  const help = { type: 'boolean', short: 'h', default: false };
  try {
    const parsed = parseArgs({ ...config, options: { ...config.options, help } });
    const { help: isAsked, ...values } = parsed.values;
    if (!isAsked) return { ...parsed, values };
    process.stdout.write(`${usage}\n`);
    process.exit(0);
  } catch (error) {
    if (!error.code?.startsWith('ERR_PARSE_ARGS')) throw error;
    throw new Failure(`${error.message}\n${usage}`);
  }
}
