// What an operator relies on who looks at a host while host ports come and go: a table that is gone between two looks of nft is
// not there, and every other failure is reported.

import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { readTables } from '../../../../src/host/jobs/network/nft-tables.ts';

const NAMES = `{"nftables": [{"table": {"family": "ip", "name": "a"}}]}`;

/** An nft that has a table in its list, and then says this about it. */
function pretend(t: TestContext, said: string): void {
  const directory = mkdtempSync(join(tmpdir(), 'volant-nft-'));
  const program = join(directory, 'nft');
  writeFileSync(
    program,
    `#!/bin/sh\n[ "$2 $3" = "list tables" ] && echo '${NAMES}' && exit 0\n${said}\n`,
  );
  chmodSync(program, 0o755);
  const path = process.env['PATH'];
  process.env['PATH'] = `${directory}:${path}`;
  t.after(() => {
    process.env['PATH'] = path;
    rmSync(directory, { recursive: true });
  });
}

test('a table that went after its name was read is not there', (t) => {
  pretend(t, "echo 'Error: No such file or directory' >&2; exit 1");
  assert.deepEqual(readTables(['ip a', 'ip b']), [null, null]);
});

test('another failure is reported', (t) => {
  pretend(t, "echo 'Error: Operation not permitted' >&2; exit 1");
  assert.throws(() => readTables(['ip a']), /Tables cannot be read/);
});
