// scripts: selects the test files to run, and groups them. Pure; test.mjs runs them.

/** Slow tests start first: their guests are emulated for minutes, or their steps run one after the other. */
const LONG_TESTS = /e2e\/(debian|isolation|dhcp|guides|disks|devices)\./;

/** These tests run alone: their guests keep all cores busy, and tests beside them would exceed their deadlines. */
const BUSY_TESTS = /e2e\/(boots|boots-busy)\./;

/** These tests judge what the sources make, which is the same on every system, with tools from the registry. */
export const TOOL_TESTS = /openapi-judges|generated-client/;

/**
 * The selected files of `paths` (relative to the directory of tests), by group. End-to-end tests create networks, so each
 * gets a network namespace; tests of the lab get a machine. A file is selected if its path contains one of the texts in
 * `filters`, or, for end-to-end tests, in `endToEnd`. Without `withEndToEnd` and `withLab` those groups are empty; with
 * `hereOnly` the tests are those that may differ between systems.
 */
export function chooseTests(paths, { filters, endToEnd, withEndToEnd, withLab, hereOnly }) {
  const below = (directory) => (path) => path.startsWith(`${directory}/`);
  const matches = (path) => (text) => path.includes(text);
  const wanted = paths
    .filter((path) => path.endsWith('.test.js') && !(hereOnly && TOOL_TESTS.test(path)))
    .filter((path) => filters.length === 0 || filters.some(matches(path)))
    .sort();
  const whole = wanted
    .filter(below('e2e'))
    .filter((path) => withEndToEnd && endToEnd.some(matches(path)));
  const light = whole.filter((path) => !BUSY_TESTS.test(path));
  return {
    unit: wanted.filter((path) => !below('e2e')(path) && !below('lab')(path)),
    endToEnd: [
      ...light.filter((path) => LONG_TESTS.test(path)),
      ...light.filter((path) => !LONG_TESTS.test(path)),
    ],
    busy: whole.filter((path) => BUSY_TESTS.test(path)),
    lab: wanted.filter((path) => withLab && below('lab')(path)),
  };
}
