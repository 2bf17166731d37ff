// test: a log that nobody reads, and that still holds what is written to it to the rules.

import type { Logger } from '../../src/lib/log/log.ts';

/** Says nothing, and throws where a line would have a member twice: JSON keeps one, and readers differ in which. */
function strictLog(bound: readonly string[]): Logger {
  const line = (bindings: object) => {
    const twice = Object.keys(bindings).filter((key) => bound.includes(key));
    if (twice.length > 0) throw new Error(`a line of the log has ${twice.join(', ')} twice`);
  };
  return {
    debug: line,
    info: line,
    warn: line,
    error: line,
    child: (bindings) => {
      line(bindings);
      return strictLog([...bound, ...Object.keys(bindings)]);
    },
  };
}

export const silentLog: Logger = strictLog([]);
