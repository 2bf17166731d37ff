// lib: connections stay below the limit of open files.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { LIMITS } from '../../src/config/limits.ts';
import { CONNECTION_LIMITS } from '../../src/http/server.ts';
import { budgetOf } from '../../src/lib/descriptors.ts';

for (const limit of [256, 1024, 20_000, 1_048_576, Number.MAX_SAFE_INTEGER]) {
  test(`of ${limit} open files, the daemon and its VMs have their share`, () => {
    const { descriptorsReserved: reserved } = LIMITS;
    const { connections, eventStreams, webSockets } = budgetOf(limit, reserved, CONNECTION_LIMITS);
    assert.ok(connections + webSockets <= (limit - reserved) / 2);
    assert.ok(eventStreams <= connections / 2, 'streams leave room for requests');
    assert.ok(connections <= LIMITS.connectionsMax && connections >= 40);
  });
}

test('the soft limit is raised to the hard one before the first line of ours runs', () => {
  const module = new URL('../../src/lib/descriptors.js', import.meta.url).href;
  const script = `import(${JSON.stringify(module)}).then((m) => console.log(m.descriptorLimit()))`;
  const printed = execFileSync(
    'sh',
    ['-c', 'ulimit -Sn 300; ulimit -Hn 700; exec "$0" -e "$1"', process.execPath, script],
    { encoding: 'utf8' },
  );
  assert.equal(Number(printed), 700);
});
