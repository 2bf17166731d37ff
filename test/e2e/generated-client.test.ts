// e2e: a client that an independent generator makes of the daemon's OpenAPI document: it compiles under strict types,
// creates a VM, changes it and reads typed errors. scripts/generated-clients.mjs tests other generators.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { OPENAPI_TOOLS, PROJECT_ROOT, requireCapability } from '../helpers/capabilities.ts';
import { startDaemon } from './daemon.ts';

const run = promisify(execFile);

const COMPILER_OPTIONS = {
  module: 'NodeNext',
  target: 'ES2022',
  lib: ['ES2022', 'DOM', 'DOM.Iterable'],
  strict: true,
  types: ['node'],
  typeRoots: [join(PROJECT_ROOT, 'node_modules/@types')],
};

const EXPECTED = `plan one true true
made 201 true running undefined
refused 409 VM_NAME_TAKEN string
wrong BODY_INVALID memory_mb
patched 2 true 96
listed one
action ACTION_NOT_FOUND
info simulator 0
deployment 1 active
`;

test('a generated client of TypeScript compiles, makes a VM, changes it and reads errors', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'openapi-tools')) return;
  const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: 'simulator' });
  const folder = mkdtempSync(join(tmpdir(), 'volant-generated-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const tool = (name: string, ...args: string[]) =>
    run(join(OPENAPI_TOOLS, 'node_modules/.bin', name), args, { cwd: folder, timeout: 120_000 });
  symlinkSync(join(OPENAPI_TOOLS, 'node_modules'), join(folder, 'node_modules'));
  writeFileSync(join(folder, 'package.json'), '{"type": "module"}');
  writeFileSync(join(folder, 'openapi.json'), (await daemon.call('GET', '/openapi')).text);
  await tool('openapi-typescript', 'openapi.json', '--output', 'api.ts');
  const program = readFileSync(
    join(PROJECT_ROOT, 'test/fixtures/generated-clients/program.ts.txt'),
    'utf8',
  );
  writeFileSync(join(folder, 'program.ts'), program);
  const settings = { compilerOptions: COMPILER_OPTIONS, include: ['*.ts'] };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(settings));
  await tool('tsc', '-p', '.').catch((error: { stdout?: string }) => assert.fail(error.stdout));
  const { stdout } = await run(process.execPath, ['program.js', daemon.url], {
    cwd: folder,
    timeout: 60_000,
  });
  assert.equal(stdout, EXPECTED);
});
