// scripts: the client is a package of its own: it has no dependencies, runs, and has the types of the schemas.

import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { sendJson, startFakeDaemon, vmBody } from '../client/fake-daemon.ts';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';

const ROOT = resolve(PROJECT_ROOT);
const TSC = join(ROOT, 'node_modules/.bin/tsc');
const run = promisify(execFile);

let folder = '';

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'volant-client-'));
  const npm = (args: readonly string[], cwd: string) => execFileSync('npm', args, { cwd });
  npm(['pack', '--silent', './packages/client', '--pack-destination', folder], ROOT);
  writeFileSync(join(folder, 'package.json'), '{"type": "module", "private": true}\n');
  // Without a network: there is nothing to fetch.
  npm(['install', '--offline', '--no-audit', '--no-fund', './volant-client-0.1.0.tgz'], folder);
});

after(() => rmSync(folder, { recursive: true, force: true }));

function compile(name: string, text: string, options: object): void {
  const directory = join(folder, name);
  mkdirSync(directory);
  writeFileSync(join(directory, 'index.ts'), text);
  const compilerOptions = {
    module: 'NodeNext',
    target: 'ES2023',
    lib: ['ES2023', 'DOM'],
    strict: true,
    noEmit: true,
    ...options,
  };
  writeFileSync(join(directory, 'tsconfig.json'), JSON.stringify({ compilerOptions }));
  execFileSync(TSC, ['-p', directory], { cwd: folder, encoding: 'utf8' });
}

test('an installation brings one package, with compiled code and types only', () => {
  const installed = readdirSync(join(folder, 'node_modules')).filter((name) => name[0] !== '.');
  assert.deepEqual(installed, ['volant-client']);
  const files = readdirSync(join(folder, 'node_modules/volant-client/dist'));
  assert.ok(files.includes('client.js') && files.includes('client.d.ts'));
  assert.deepEqual(
    files.filter((name) => !/\.(js|d\.ts)$/.test(name)),
    [],
  );
});

test('a program lists VMs with it', async (t) => {
  const daemon = await startFakeDaemon(t, (_, response) =>
    sendJson(response, 200, [vmBody('one'), vmBody('two')], { 'X-Total-Count': '2' }),
  );
  const program = `import { createClient } from 'volant-client';
import { ApiError } from 'volant-client/errors';
const { vms } = await createClient({ baseUrl: process.argv[2] }).vms.list();
console.log(vms.map(({ name }) => name).join(), typeof ApiError);`;
  writeFileSync(join(folder, 'list.js'), program);
  const { stdout } = await run(process.execPath, ['list.js', daemon.url], { cwd: folder });
  assert.equal(stdout, 'one,two function\n');
  assert.deepEqual(daemon.calls(), ['GET /api/v1/vms']);
});

test('a program is checked with its types, with nothing else installed', () => {
  const program = `import { createClient } from 'volant-client';
import type { ManifestInput, SystemInfo, Vm } from 'volant-client/types';
export async function first(): Promise<Vm | undefined> {
  const client = createClient({ baseUrl: 'http://127.0.0.1:7777' });
  for await (const event of client.events.all()) if (event.type === 'RESYNC') break;
  const manifest: ManifestInput = { name: 'one', labels: { a: 'b' } };
  await client.plugins.install(manifest);
  const info: SystemInfo = await client.system.info();
  // @ts-expect-error
  info.nothing;
  return (await client.vms.list()).vms[0];
}`;
  compile('program', program, { types: [] });
});

test('its types are those of the schemas', () => {
  const text = readFileSync(join(ROOT, 'test/fixtures/client-types.ts.txt'), 'utf8');
  compile('types', text.replaceAll('@ROOT@', ROOT), {
    skipLibCheck: true,
    allowImportingTsExtensions: true,
    types: [],
  });
});
