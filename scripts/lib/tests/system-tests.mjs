// scripts: the tests on other systems: the list of systems, which tests run on each, and how they are counted.
// debian-root.mjs builds the roots, other-system.mjs runs commands in them.

import { spawnSync } from 'node:child_process';
import { capture, findCommand } from '../command.mjs';
import { NODE_VERSIONS } from '../systems/debian-root.mjs';

const COUNT_LINE = /^(\d+) passed, (\d+) failed, (\d+) skipped$/;

/** Tests that boot guests: their system and their hypervisor come from Debian. */
const GUESTS = ['e2e/guest.test', 'e2e/agent-routes', 'e2e/root-disk'];

/** Setup, start and end as a user runs them, and what they leave behind. */
const HOST = ['e2e/up-and-down', 'e2e/package', 'e2e/lifecycle', 'e2e/recovery', 'e2e/taps'];

/** Tests in which versions of Node, or of the HTTP server's binaries for them, were seen to differ. */
const VERSIONS = [
  ...['server-versions', 'requests', 'events', 'hostile', 'access', 'agent-proxy', 'web-sockets'],
  ...['guest/tunnel', 'guest/channel', 'e2e/guest.test'],
];

/** Oldest last: the recommended version of Node is first. */
export const SYSTEMS = [
  {
    name: 'Debian 13',
    nodeMajor: '24',
    selection: [...GUESTS, ...HOST].flatMap((text) => ['--e2e', text]),
  },
  { name: 'Debian 13', nodeMajor: '22', selection: VERSIONS },
].map((system) => ({
  ...system,
  title: `tests on ${system.name}, Node ${NODE_VERSIONS[system.nodeMajor]}`,
}));

/**
 * Sets up the copy of the checkout, as a user does, and runs its tests in a network namespace without access to other
 * networks. `filters` are those of `npm test`; without filters, the default tests of the system run. `write` gets each line
 * of the output.
 */
export async function testOnSystem(there, system, { filters, write, onStart }) {
  const { name, nodeMajor } = system;
  const namespace = `volant-system-${process.pid}-${nodeMajor}`;
  const ip = findCommand('ip') ?? 'ip';
  const environment = { VOLANT_TEST_REQUIRE: process.env.VOLANT_TEST_REQUIRE ?? '' };
  const options = { nodeMajor, environment, onStart };
  if ((await there.run(['node', 'scripts/setup.mjs'], { ...options, onLine: write })) !== 0) {
    write(`Set-up failed on ${name} with Node ${nodeMajor}.`);
    return { passed: 0, failed: 1, skipped: 0 };
  }
  capture(ip, ['netns', 'add', namespace]);
  try {
    capture(ip, ['-n', namespace, 'link', 'set', 'lo', 'up']);
    const argv = ['node', 'scripts/test.mjs', ...optionsFor(system, filters)];
    const prefix = ['nsenter', `--net=/run/netns/${namespace}`];
    return await countTests(there, argv, { ...options, prefix, write });
  } finally {
    spawnSync(ip, ['netns', 'delete', namespace]);
  }
}

function optionsFor({ selection }, filters) {
  return ['--here-only', '--no-lab', ...(filters.length > 0 ? filters : selection)];
}

async function countTests(there, argv, { write, ...options }) {
  let counts = null;
  const onLine = (line) => {
    const match = COUNT_LINE.exec(line);
    if (match === null) return write(line);
    const [passed, failed, skipped] = match.slice(1).map(Number);
    counts = { passed, failed, skipped };
  };
  const status = await there.run(argv, { ...options, onLine });
  if (counts === null) return { passed: 0, failed: 1, skipped: 0 };
  // A run that was killed after its count is a failure, too.
  return { ...counts, failed: Math.max(counts.failed, status === 0 ? 0 : 1) };
}

/** The counts for a system that is not available: reported and skipped, or failed under VOLANT_TEST_REQUIRE=all. */
export function countLacking(reason, write) {
  const required = process.env.VOLANT_TEST_REQUIRE === 'all';
  write(`${required ? 'FAILED' : 'SKIPPED'} tests on other systems: ${reason}`);
  return { passed: 0, failed: required ? 1 : 0, skipped: required ? 0 : 1 };
}
