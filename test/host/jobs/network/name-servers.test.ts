// The name servers of the host that a guest can reach: none on a loopback, those of systemd-resolved where only its stub is
// named.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readNameServers } from '../../../../src/host/jobs/network/name-servers.ts';

test('name servers on the loopback are none; behind a stub are those of its own file', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'volant-resolv-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const [first, second] = [join(directory, 'first'), join(directory, 'second')] as const;
  const read = (one: string, other: string | null) => {
    writeFileSync(first, one);
    if (other !== null) writeFileSync(second, other);
    return readNameServers({}, [first, second]);
  };
  const stub = '# a comment\nnameserver 127.0.0.53\noptions edns0\n';
  assert.deepEqual(read(stub, null), []);
  assert.deepEqual(read(stub, 'nameserver 127.0.0.1\nnameserver ::1\n'), []);
  assert.deepEqual(read(stub, 'nameserver 9.9.9.9\nnameserver fe80::1\n'), ['9.9.9.9']);
  assert.deepEqual(read(`nameserver 1.1.1.1\n${stub}`, 'nameserver 9.9.9.9\n'), ['1.1.1.1']);
});
