// cli: completion, called as the shells call it.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { complete, completionScript } from '../../src/cli/completion.ts';
import { createProgram } from '../../src/cli/program.ts';
import { sendJson, startFakeDaemon, vmBody } from '../client/fake-daemon.ts';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';

const ask = (line: string) =>
  complete(createProgram(process, {}), line.split(' '), async (argument) => [
    `${argument}-1`,
    `${argument}-2`,
  ]);

test('commands, aliases of theirs, and nothing hidden', async () => {
  const all = await ask('');
  assert.ok(all.includes('vms') && all.includes('apply') && all.includes('help'));
  assert.ok(!all.some((word) => word.startsWith('_')));
  assert.deepEqual(await ask('vms st'), ['start', 'stop']);
  assert.deepEqual(await ask('vm conf'), ['config']);
  assert.deepEqual(await ask('vms config '), ['get', 'help', 'history', 'set']);
});

test('names of things where they go, again where there may be several', async () => {
  assert.deepEqual(await ask('vms get '), ['vm-1', 'vm-2']);
  assert.deepEqual(await ask('vms get vm-1 '), []);
  assert.deepEqual(await ask('vms delete vm-1 '), ['vm-1', 'vm-2']);
  assert.deepEqual(await ask('plugins enable plugin-1'), ['plugin-1']);
  assert.deepEqual(await ask('deployments scale '), ['deployment-1', 'deployment-2']);
  assert.deepEqual(await ask('deployments rollout '), ['help', 'history', 'status', 'undo']);
  assert.deepEqual(await ask('deployment rollout undo '), ['deployment-1', 'deployment-2']);
  assert.deepEqual(await ask('deployments rollout undo --t'), ['--timeout', '--to-revision']);
  assert.deepEqual(await ask('vms create x --plugin '), ['plugin-1', 'plugin-2']);
  assert.deepEqual(await ask('vms create x --image '), ['image-1', 'image-2']);
  assert.deepEqual(await ask('run '), ['image-1', 'image-2']);
  assert.deepEqual(await ask('run --n'), ['--name', '--network']);
});

test('options, global ones too, and the words that an option takes', async () => {
  assert.deepEqual(await ask('vms create x --c'), ['--ca', '--config', '--cpu']);
  assert.deepEqual(await ask('vms get --js'), ['--json']);
  assert.deepEqual(await ask('vms create --wait '), ['accepted', 'exited', 'ready', 'running']);
  assert.deepEqual(await ask('vms create --cpu 2 x --wait r'), ['ready', 'running']);
  assert.deepEqual(await ask('completion '), ['bash', 'zsh']);
});

test('the script of bash completes names that the daemon knows', async (t) => {
  const daemon = await startFakeDaemon(t, (_, response) =>
    sendJson(response, 200, [vmBody('build-1'), vmBody('build-2'), vmBody('web')]),
  );
  const bin = mkdtempSync(join(tmpdir(), 'volar-'));
  t.after(() => rmSync(bin, { recursive: true, force: true }));
  const main = join(PROJECT_ROOT, '.build/src/cli/main.js');
  writeFileSync(join(bin, 'volar'), `#!/bin/sh\nexec ${process.execPath} ${main} "$@"\n`);
  chmodSync(join(bin, 'volar'), 0o755);
  const script = `${completionScript('bash')}
    COMP_WORDS=(volar vms get bui); COMP_CWORD=3; _volar; echo "\${COMPREPLY[*]}"`;
  const env = {
    ...process.env,
    PATH: `${bin}:${process.env['PATH']}`,
    VOLANT_API_BASE: daemon.url,
  };
  const output = await new Promise<string>((resolve, reject) => {
    execFile('bash', ['-c', script], { env }, (error, stdout) =>
      error === null ? resolve(stdout) : reject(error),
    );
  });
  assert.equal(output, 'build-1 build-2\n');
});
