// scripts: the tests on other systems: which they are, what of the suite runs there, and how it is counted. The roots
// are made in debian-root.mjs, commands are run in them by other-system.mjs.

import { spawnSync } from 'node:child_process';
import { capture, findCommand } from './command.mjs';
import { NODE_VERSIONS } from './debian-root.mjs';

const COUNT_LINE = /^(\d+) passed, (\d+) failed, (\d+) skipped$/;

/** Guests that boot: their system comes from Debian, their hypervisor too. */
const GUESTS = ['e2e/guest.test', 'e2e/agent-routes', 'e2e/root-disk'];

/** Set-up, start and end as a user does them, and what is left by them. */
const HOST = ['e2e/up-and-down', 'e2e/package', 'e2e/lifecycle', 'e2e/recovery', 'e2e/taps'];

/** Where versions of Node, or of the HTTP server's binaries for them, were seen to differ. */
const VERSIONS = [
  ...['server-versions', 'requests', 'events', 'hostile', 'access', 'agent-proxy', 'web-sockets'],
  ...['guest/tunnel', 'guest/channel', 'e2e/guest.test'],
];

/** Oldest last: the recommended version of Node comes first. */
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
 * Sets up the copy of the checkout that is there, as a user does, and runs its tests in a network namespace without a way
 * out. `filters` are those of `npm test`; none means what this system is for. `write` gets each line of the output.
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

/** How a system that cannot be had is counted: told loudly and left out, or a failure under VOLANT_TEST_REQUIRE=all. */
export function countLacking(reason, write) {
  const required = process.env.VOLANT_TEST_REQUIRE === 'all';
  write(`${required ? 'FAILED' : 'SKIPPED'} tests on other systems: ${reason}`);
  return { passed: 0, failed: required ? 1 : 0, skipped: required ? 0 : 1 };
}
