// scripts: reads what Node's test runner prints: the counts and the failures at its end. Pure. test-runs.mjs runs it.

// biome-ignore lint/suspicious/noControlCharactersInRegex: it is the escape of a terminal's colours
const COLOURS = /\x1b\[\d+m/g;
const COUNT = /^ℹ (pass|fail|cancelled|skipped) (\d+)$/;
/** What follows this line names each test that failed, with its place and its error. */
const FAILURES = '✖ failing tests:';
/** Of one run: an error may quote the whole log of a daemon. */
const FAILURE_LINES_MAX = 300;

/** `failures`: the lines of output that say which tests failed, and why. */
const NOTHING = Object.freeze({ passed: 0, failed: 0, skipped: 0, failures: [] });

/** Adds up the results of several runs. */
export function sum(results) {
  return results.reduce(
    (total, { passed, failed, skipped, failures = [] }) => ({
      passed: total.passed + passed,
      failed: total.failed + failed,
      skipped: total.skipped + skipped,
      failures: [...total.failures, ...failures],
    }),
    NOTHING,
  );
}

/** Takes the output of one run line by line. `result` is given the exit status of the runner. */
export function newCounter() {
  const counts = { pass: 0, fail: 0, cancelled: 0, skipped: 0 };
  const failures = [];
  let isNaming = false;
  return {
    take(line) {
      const plain = line.replace(COLOURS, '');
      const match = COUNT.exec(plain);
      if (match !== null) counts[match[1]] += Number(match[2]);
      if (isNaming && failures.length < FAILURE_LINES_MAX) failures.push(line);
      if (plain === FAILURES) isNaming = true;
    },
    result: (status) => ({
      passed: counts.pass,
      // A file that could not be loaded, and a runner that was killed, are failures, too.
      failed: Math.max(counts.fail + counts.cancelled, status === 0 ? 0 : 1),
      skipped: counts.skipped,
      failures,
    }),
  };
}
