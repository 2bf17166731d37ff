// What a call of volar loads before it answers: modules are counted, since time says more of the machine than of volar.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';

const PLACE = join(PROJECT_ROOT, '.build/src');

const moduleOf = (text: string) => `data:text/javascript,${encodeURIComponent(text)}`;

/** Writes each module that is loaded to standard error. */
const HOOKS = moduleOf(`import { writeSync } from 'node:fs';
export async function load(url, context, next) {
  writeSync(2, 'loads ' + url + '\\n');
  return next(url, context);
}`);
const REGISTER = moduleOf(`import { register } from 'node:module';
register(${JSON.stringify(HOOKS)});`);

/** Modules that a program loads: the project's own from src on, others by the name of their package. */
async function loadedBy(
  program: string,
  words: readonly string[],
  api = 'http://127.0.0.1:9',
): Promise<readonly string[]> {
  const command = ['--import', REGISTER, join(PLACE, program), ...words];
  const options = { env: { PATH: process.env['PATH'], VOLANT_API_BASE: api } };
  const { stderr } = await promisify(execFile)(process.execPath, command, options);
  const urls = [...stderr.matchAll(/^loads (file:.*)$/gm)].map(([, url]) => url ?? '');
  return urls.map((url) => url.split('.build/src/')[1] ?? url.split('node_modules/')[1] ?? url);
}

test('help loads neither the client nor any package but the parser of words', async () => {
  for (const words of [['--help'], ['vms', 'create', '--help'], ['--version']]) {
    const loaded = await loadedBy('cli/main.js', words);
    const client = loaded.filter((path) => path.startsWith('client/'));
    assert.deepEqual(client.toSorted(), ['client/base-url.js', 'client/errors.js']);
    const packages = loaded.filter((path) => !/^(cli|client|lib)\//.test(path));
    assert.deepEqual(packages.toSorted(), ['commander/esm.mjs', 'commander/index.js']);
    assert.ok(loaded.length <= 64, `${loaded.length} modules: ${loaded.join(' ')}`);
  }
});

test('a command that asks the daemon loads no WebSocket and no YAML', async (t) => {
  const server = createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end('[]');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const loaded = await loadedBy('cli/main.js', ['vms', 'list'], `http://127.0.0.1:${port}`);
  assert.ok(loaded.includes('client/client.js'));
  assert.deepEqual(
    loaded.filter((path) => /^(ws|yaml)\//.test(path)),
    [],
  );
  assert.ok(loaded.length <= 87, `${loaded.length} modules: ${loaded.join(' ')}`);
});

test('volantd answers help and version without the daemon and without a package', async () => {
  for (const words of [['--help'], ['--version']]) {
    const loaded = await loadedBy('volantd.js', words);
    assert.deepEqual(
      loaded.filter((path) => /^(engine|http|store|workers|host)\//.test(path)),
      [],
    );
    assert.ok(loaded.length <= 35, `${loaded.length} modules: ${loaded.join(' ')}`);
  }
});
