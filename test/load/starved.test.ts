// load: a generator that does not get the time that it needs calls its run invalid, whatever keeps it from it: other programs, a
// quota, or its own event loop. With users there are no starts that could be late, so they are tried as well as a rate.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { constants, setPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { RunReport } from '../../src/load/report/run-report.ts';
import { runLoad } from '../../src/load/run/run.ts';
import { requireCapability, requireThat } from '../helpers/capabilities.ts';
import { lists, optionsOf, startFakeDaemon, strict } from './fake-daemon.ts';
import { watchGenerators } from './generator-pids.ts';

const USERS = { kind: 'constant', duration_seconds: 4, users: 4 };
const RATE = { kind: 'constant', duration_seconds: 4, rate_per_second: 400 };
const STARVED_MS = 1_500;
const LOOPS = 3;
/** Of a processor, in a thousand microseconds of each hundred thousand. */
const QUOTA_US = 5_000;
const PERIOD_US = 100_000;

/** What its figures cannot be believed for: not that a process did not end in time, or could not start. */
const STARVED = /^(The generator was late|Generator process 0 (stalled|was slow|was starved))/;

/** Keeps a process from its work until the function that it gives out is called. */
type Starve = (pid: number) => () => void;

/** A run whose generator is starved from its first second on for a while. */
async function starvedRun(t: TestContext, phase: object, starve: Starve): Promise<RunReport> {
  const daemon = await startFakeDaemon(t, (answer) => answer(200, []));
  const generator = watchGenerators();
  let relieve: (() => void) | undefined;
  let timer: NodeJS.Timeout | undefined;
  const onSample = () => {
    if (relieve !== undefined) return;
    relieve = starve(generator());
    timer = setTimeout(relieve, STARVED_MS);
  };
  try {
    return await runLoad(optionsOf(daemon, strict(lists([phase])), { observer: { onSample } }));
  } finally {
    clearTimeout(timer);
    relieve?.();
  }
}

function assertStarved({ verdict, reasons }: RunReport): void {
  assert.equal(verdict, 'invalid');
  assert.ok(
    reasons.some((reason) => STARVED.test(reason)),
    reasons.join('\n'),
  );
}

/** The last processor that this process may use. */
function lastProcessor(): string {
  const status = readFileSync('/proc/self/status', 'latin1');
  const [, allowed = ''] = /^Cpus_allowed_list:\s+(\S+)/m.exec(status) ?? [];
  return /(\d+)$/.exec(allowed)?.[1] ?? '0';
}

for (const [model, phase] of Object.entries({ users: USERS, 'a rate': RATE })) {
  test(`a generator of the lowest priority beside busy programs, with ${model}`, async (t) => {
    if (!requireThat(t, existsSync('/usr/bin/taskset'), 'needs taskset: install util-linux'))
      return;
    const processor = lastProcessor();
    const report = await starvedRun(t, phase, (pid) => {
      const loops = Array.from({ length: LOOPS }, () =>
        spawn('taskset', ['-c', processor, process.execPath, '-e', 'for (;;);'], {
          stdio: 'ignore',
        }),
      );
      t.after(() =>
        Promise.all(loops.map((loop) => loop.exitCode ?? loop.signalCode ?? once(loop, 'exit'))),
      );
      setPriority(pid, constants.priority.PRIORITY_LOW);
      execFileSync('taskset', ['-a', '-c', '-p', processor, String(pid)]);
      return () => {
        for (const loop of loops) loop.kill('SIGKILL');
      };
    });
    assertStarved(report);
  });

  test(`a generator with a quota of processor time, with ${model}`, async (t) => {
    if (!requireCapability(t, 'root')) return;
    const quota = quotaIn(t);
    if (!requireThat(t, quota !== null, 'needs the controller cpu of cgroups: mount it')) return;
    assertStarved(await starvedRun(t, phase, (pid) => quota?.(pid) ?? (() => undefined)));
  });
}

/** A cgroup of the test's own whose processes get a twentieth of a processor; null: there is no controller for it. */
function quotaIn(t: TestContext): Starve | null {
  const version2 = ['/sys/fs/cgroup', '/sys/fs/cgroup/unified'].find((root) => {
    const file = join(root, 'cgroup.subtree_control');
    return existsSync(file) && readFileSync(file, 'utf8').split(/\s/).includes('cpu');
  });
  const version1 = ['/sys/fs/cgroup/cpu', '/sys/fs/cgroup/cpu,cpuacct'].find((root) =>
    existsSync(join(root, 'cpu.cfs_quota_us')),
  );
  const root = version2 ?? version1;
  if (root === undefined) return null;
  const group = join(root, `volant-test-${process.pid}`);
  mkdirSync(group);
  // Its process has ended with the run.
  t.after(() => rmdirSync(group));
  const limit = (quotaUs: number | null) => {
    if (version2 === undefined) writeFileSync(join(group, 'cpu.cfs_quota_us'), `${quotaUs ?? -1}`);
    else writeFileSync(join(group, 'cpu.max'), `${quotaUs ?? 'max'} ${PERIOD_US}`);
  };
  return (pid) => {
    limit(QUOTA_US);
    writeFileSync(join(group, 'cgroup.procs'), String(pid));
    return () => limit(null);
  };
}

test('an event loop that stalled once, with users', async (t) => {
  const daemon = await startFakeDaemon(t, (answer) => answer(200, []));
  const directory = mkdtempSync(join(tmpdir(), 'volant-load-'));
  const file = join(directory, 'block.cjs');
  // Loaded before the program of each child. The event loop stands still when it tells of the first second of the run.
  writeFileSync(
    file,
    `if (process.argv[1]?.endsWith('generator-process.js')) {
      const send = process.send.bind(process);
      let isFirst = true;
      process.send = (message, ...others) => {
        if (message.kind === 'windows' && isFirst) {
          isFirst = false;
          const endMs = performance.now() + 1000;
          while (performance.now() < endMs);
        }
        return send(message, ...others);
      };
    }`,
  );
  const before = process.env['NODE_OPTIONS'];
  process.env['NODE_OPTIONS'] = `${before ?? ''} --require=${file}`;
  t.after(() => {
    if (before === undefined) delete process.env['NODE_OPTIONS'];
    else process.env['NODE_OPTIONS'] = before;
    rmSync(directory, { recursive: true, force: true });
  });
  const report = await runLoad(optionsOf(daemon, strict(lists([USERS]))));
  assert.equal(report.verdict, 'invalid');
  assert.match(report.reasons.join('\n'), /Generator process 0 stalled/);
});
