// e2e: the package contains what is needed to run and nothing else, and prepares a host without a checkout.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { PROJECT_ROOT, requireCapability } from '../helpers/capabilities.ts';
import { untilPasses } from '../helpers/until.ts';
import { createPrivateHost } from './private-host.ts';

interface Packed {
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

function pack(...args: string[]): Packed {
  const json = execFileSync('npm', ['pack', '--json', '--foreground-scripts=false', ...args], {
    cwd: PROJECT_ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return JSON.parse(json)[0];
}

/**
 * The package as npm puts it into an empty folder: unpacked, its dependencies beside it. They are those of the
 * checkout, since there is no network here.
 */
function install(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'volant-package-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const { filename } = pack('--pack-destination', folder);
  const modules = join(folder, 'node_modules');
  const root = join(modules, 'volant');
  mkdirSync(root, { recursive: true });
  execFileSync('tar', ['-xzf', join(folder, filename), '-C', root, '--strip-components=1']);
  const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  for (const name of Object.keys(dependencies)) {
    mkdirSync(dirname(join(modules, name)), { recursive: true });
    symlinkSync(join(PROJECT_ROOT, 'node_modules', name), join(modules, name));
  }
  return root;
}

test('the package has what runs, and npm builds nothing when it is installed', () => {
  const paths = pack('--dry-run').files.map(({ path }) => path);
  for (const needed of [
    'dist/main.js',
    'dist/volantd.js',
    'dist/cli/main.js',
    'dist/workers/entry.js',
    'dist/ui/index.html',
    'dist/ui/index.html.gz',
    'native/CMakeLists.txt',
    'native/addon/addon.cc',
    'native/guest/main.c',
    'native/simulator/simulator.c',
    'images/hello/srv/hello/cgi-bin/index.cgi',
    'images/hello/srv/hello/healthz',
    'dist/load/main.js',
    'scenarios/churn.yaml',
    'deploy/grafana/volant.json',
    'deploy/prometheus/prometheus.yml',
    'deploy/prometheus/volant.rules.yml',
    'deploy/prometheus/volant.rules.test.yml',
    'scripts/setup.mjs',
    'scripts/supervise.mjs',
    'README.md',
    'LICENSE',
  ]) {
    assert.ok(paths.includes(needed), needed);
  }
  // Bundles, and none of the modules that they are made of.
  const program =
    /^dist\/(check|main|volantd|cli\/main|load\/(load|main|generator\/generator-process)|parts\/[\w-]+|store\/integrity-program|workers\/entry)\.js(\.map)?$/;
  const known =
    /^(dist\/licenses\.txt|dist\/ui\/[\w-]+\.(css|html|js|svg)|dist\/ui\/[\w.-]+\.gz|images\/hello\/.*|native\/.*|scenarios\/[\w-]+\.yaml|deploy\/(grafana|prometheus)\/[\w.-]+\.(json|yml)|scripts\/.*\.mjs|[A-Z]+(\.md)?|package\.json)$/;
  assert.deepEqual(
    paths.filter((path) => !known.test(path) && !program.test(path)),
    [],
  );
  const strange =
    /(^|\/)(test|tests|bench|lab|src)(\/|\.mjs$)|generate-openapi|prepack|build-client|build-programs|build-ui/;
  assert.deepEqual(
    paths.filter((path) => strange.test(path)),
    [],
  );
  const { scripts, gypfile } = JSON.parse(readFileSync(join(PROJECT_ROOT, 'package.json'), 'utf8'));
  assert.equal(gypfile, false);
  for (const hook of ['preinstall', 'install', 'postinstall', 'prepare']) {
    assert.equal(scripts[hook], undefined, hook);
  }
});

test('an installed package answers at once, prepares the host and runs a VM', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'kernel')) return;
  const root = install(t);
  const host = createPrivateHost(t);
  const volantd = (...args: string[]) =>
    host.run(
      'env',
      'VOLANT_HYPERVISOR=simulator',
      process.execPath,
      join(root, 'dist/volantd.js'),
      ...args,
    );

  const version = await host.run(process.execPath, join(root, 'dist/cli/main.js'), '--version');
  assert.match(version.output, /^\d+\.\d+\.\d+\n$/);
  assert.equal((await volantd('--check')).status, 0, 'before anything is built');

  // Debian packages that were fetched for the checkout: there is no network here.
  const fetched = join(PROJECT_ROOT, 'build/packages');
  if (existsSync(fetched)) cpSync(fetched, join(root, 'build/packages'), { recursive: true });
  const setup = await volantd('setup');
  assert.equal(setup.status, 0, setup.output);
  assert.match(setup.output, /built addon, guest agent, simulator/);
  assert.doesNotMatch(setup.output, /compile|npm /);
  const again = await volantd('setup');
  assert.match(again.output, /· native +all there/);

  const up = await volantd('up');
  assert.equal(up.status, 0, up.output);
  assert.match(up.output, /To end the daemon: npx volantd down/);
  const list = await host.run(process.execPath, join(root, 'dist/cli/main.js'), 'vms', 'list');
  assert.match(list.output, /hello +running/);
  const down = await volantd('down', '--all');
  assert.equal(down.status, 0, down.output);
  await untilPasses(() => assert.deepEqual(host.processes(), []));
});
