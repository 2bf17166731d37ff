// tidy: project rules that the linter does not check: allowed imports, what every file has, and that links in the
// documentation work.

import assert from 'node:assert/strict';
import { existsSync, statSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import { FILES, importsOf, ROOT, read, sources } from './tidy/sources.ts';

/** What each top folder may import, besides itself, node: and packages that are not listed below. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  lib: [],
  schema: ['lib', 'config'],
  config: ['lib'],
  check: ['config', 'lib'],
  command: ['check', 'lib'],
  volantd: ['command'],
  engine: ['schema', 'lib', 'config'],
  store: ['lib', 'config'],
  hypervisor: ['lib', 'config'],
  host: ['host/jobs', 'lib', 'config'],
  workers: ['host/jobs', 'lib', 'config'],
  'host/jobs': ['lib', 'config'],
  http: ['schema', 'lib', 'config'],
  client: [],
  cli: ['client', 'lib'],
  load: ['client', 'lib'],
  home: ['store', 'host', 'host/jobs', 'engine', 'lib', 'config'],
  main: ['daemon', 'command', 'config', 'lib'],
  daemon: [
    'check',
    'command',
    'home',
    'engine',
    'store',
    'hypervisor',
    'host',
    'host/jobs',
    'workers',
    'http',
    'schema',
    'lib',
    'config',
  ],
};

/** What a top folder may import of another one's files only; `types` allows nothing but `import type`. */
const MAY_IMPORT_FILES: Readonly<Record<string, Readonly<Record<string, 'types' | 'values'>>>> = {
  store: { 'engine/ports/store-ports.ts': 'types', 'engine/records.ts': 'types' },
  hypervisor: {
    'engine/ports/hypervisor-ports.ts': 'values',
    'engine/ports/network-ports.ts': 'types',
    'engine/ports/process-ports.ts': 'types',
    'engine/records.ts': 'types',
  },
  host: {
    'engine/ports/device-ports.ts': 'types',
    'engine/ports/media-ports.ts': 'types',
    'engine/ports/network-ports.ts': 'types',
    'engine/ports/host-ports.ts': 'types',
    'engine/ports/hypervisor-ports.ts': 'values',
    'engine/ports/process-ports.ts': 'types',
    'engine/ports/stats-ports.ts': 'types',
    'engine/records.ts': 'types',
  },
  'host/jobs': {
    'engine/ports/device-ports.ts': 'types',
    'engine/ports/media-ports.ts': 'types',
    'engine/ports/network-ports.ts': 'types',
    'engine/ports/hypervisor-ports.ts': 'values',
    'engine/ports/process-ports.ts': 'types',
    'engine/ports/stats-ports.ts': 'values',
    'engine/records.ts': 'types',
    'hypervisor/drivers/driver.ts': 'types',
    'hypervisor/drivers/drivers.ts': 'values',
    'schema/rules/guest-limits.ts': 'values',
  },
  http: { 'engine/engine-api.ts': 'types', 'engine/records.ts': 'types' },
  client: {
    'lib/version.ts': 'values',
    'schema/artifact.ts': 'types',
    'schema/config-patch.ts': 'types',
    'schema/deployment.ts': 'types',
    'schema/egress.ts': 'types',
    'schema/event.ts': 'types',
    'schema/exec.ts': 'types',
    'schema/image.ts': 'types',
    'schema/file.ts': 'types',
    'schema/manifest.ts': 'types',
    'schema/stats.ts': 'types',
    'schema/system.ts': 'types',
    'schema/vm.ts': 'types',
    'schema/vm-config.ts': 'types',
  },
};

/** Values that may be imported where only types may. */
const SHARED_VALUES = [
  'RUN_FILES',
  'FIGURE',
  'FIGURES',
  'TAP_DESCRIPTOR',
  'CONTROL_DESCRIPTOR',
  'VERSION',
  'DRIVERS',
  'GUEST_LIMITS',
];

const ONLY_IMPORTERS: Readonly<Record<string, readonly string[]>> = {
  'uWebSockets.js': ['http/uws.ts'],
  lmdb: ['store/env.ts'],
  msgpackr: ['store/env.ts'],
  piscina: ['workers/worker-pool.ts'],
  ws: ['cli/shell-maker.ts', 'http/guests/guest-socket.ts'],
};

/** Files that are a process of their own: they alone may end it and read its environment. */
const PROGRAMS = [
  'src/main.ts',
  'src/daemon.ts',
  'src/volantd.ts',
  'src/cli/main.ts',
  'src/load/main.ts',
  'src/load/generator/generator-process.ts',
];

/** What is started, or imported by a user of the packages: all of src must be reached from here. */
const ENTRIES = [...PROGRAMS, 'src/client/client.ts', 'src/client/methods.ts', 'src/load/load.ts'];

const LINES_MAX = 400;
/** Of comments, and of C and C++. The formatter breaks TypeScript, except for texts, which it leaves alone. */
const COLUMNS_MAX = 130;

/** More than the lock file and the largest document have. Images and kernels are built, never stored. */
const FILE_BYTES_MAX = 512 * 1024;
/** Files in one folder of src, besides its folders. */
const FOLDER_FILES_MAX = 15;
/** Their files are of one kind. */
const FOLDERS_OF_ONE_KIND = ['src/cli/commands', 'src/client', 'src/schema'];

const code = FILES.filter((path) => /\.(tsx?|mjs|c|h|cc)$/.test(path));
/** Code outside of src, by the name of the file. */
const helpersNamed = new Map<string, string[]>();
for (const path of code.filter((file) => !file.startsWith('src/'))) {
  helpersNamed.set(basename(path), [...(helpersNamed.get(basename(path)) ?? []), path]);
}
const pages = FILES.filter((path) => path.endsWith('.md'));

/** A part is a directory of src, or a file of it. What runs on threads is a part of its own. */
function partOf(path: string): string {
  if (path.startsWith('host/jobs/')) return 'host/jobs';
  const [first = ''] = path.split('/');
  return first.replace(/\.ts$/, '');
}

test('data goes one way: each folder imports only what it may', () => {
  const broken: string[] = [];
  for (const path of sources) {
    const inSource = path.slice('src/'.length);
    const part = partOf(inSource);
    const allowed = MAY_IMPORT[part];
    assert.ok(allowed, `${path} is in a part that the rules do not know`);
    for (const { from, typeOnly, names } of importsOf(read(path))) {
      if (!from.startsWith('.')) continue;
      const target = relative('src', join(dirname(path), from));
      const targetPart = partOf(target);
      if (targetPart === part || allowed.includes(targetPart)) continue;
      const rule = MAY_IMPORT_FILES[part]?.[target];
      const shared = rule === 'values' && names.every((name) => SHARED_VALUES.includes(name));
      if (rule !== undefined && (typeOnly || shared)) continue;
      broken.push(`${path} imports ${names.join(', ')} from ${target}`);
    }
  }
  assert.deepEqual(broken, []);
});

test('each library that must be wrapped has one importer', () => {
  for (const path of sources) {
    for (const { from } of importsOf(read(path))) {
      const importers = ONLY_IMPORTERS[from]?.map((file) => `src/${file}`);
      assert.ok(importers?.includes(path) ?? true, `${path} imports ${from}`);
    }
  }
});

test('the client loads nothing at its start that a browser lacks', () => {
  for (const path of sources.filter((file) => file.startsWith('src/client/'))) {
    for (const { from, typeOnly } of importsOf(read(path))) {
      assert.ok(typeOnly || from.startsWith('.'), `${path} imports ${from}`);
    }
  }
});

test('the addon is loaded in one file', () => {
  const loaders = sources.filter((path) => read(path).includes('volant_native'));
  assert.deepEqual(loaders, ['src/host/jobs/native.ts']);
});

test('settings come from the environment through config only', () => {
  for (const path of sources.filter((file) => !PROGRAMS.includes(file))) {
    assert.doesNotMatch(read(path), /process\.env[.[]['"]?(VOLANT|HOME|USER)/, path);
  }
});

test('every file of code begins with what it is', () => {
  const headless = code.filter((path) => {
    const [first = '', second = ''] = read(path).split('\n');
    const line = first.startsWith('#!') ? second : first;
    return !/^(\/\/|\/\*) ?\S+.*/.test(line);
  });
  assert.deepEqual(headless, []);
});

test('no file is too long to be read at once', () => {
  const long = code
    .map((path) => `${path}: ${read(path).split('\n').length - 1}`)
    .filter((entry) => Number(entry.split(': ')[1]) > LINES_MAX);
  assert.deepEqual(long, []);
});

test('nothing that is built is in the repository', () => {
  const large = FILES.filter((path) => statSync(join(ROOT, path)).size > FILE_BYTES_MAX);
  assert.deepEqual(large, []);
});

test('a folder is seen at a glance, and a name says which file of its folder is meant', () => {
  const filesIn = (folder: string) => sources.filter((path) => dirname(path) === folder).length;
  const crowded = [...new Set(sources.map((path) => dirname(path)))].filter(
    (folder) => !FOLDERS_OF_ONE_KIND.includes(folder) && filesIn(folder) > FOLDER_FILES_MAX,
  );
  assert.deepEqual(crowded, []);
  // What has a file for each tag or command is named after it.
  const named = sources.filter((path) => !/\/(commands|operations|routes)\//.test(path));
  const twins = named.filter((path) => {
    const part = `src/${path.split('/')[1]}/`;
    const namesakes = named.filter((other) => basename(other) === basename(path));
    return namesakes.some((other) => other !== path && other.startsWith(part));
  });
  assert.deepEqual(twins, []);
});

test('no comment and no line of C is wider than an editor', () => {
  const isComment = (line: string) => /^\s*(\/\/|\/?\*)/.test(line);
  const wide = code.flatMap((path) =>
    read(path)
      .split('\n')
      .map((line, index) => ({ line, at: `${path}:${index + 1}: ${line.length} columns` }))
      .filter(({ line }) => line.length > COLUMNS_MAX)
      .filter(({ line }) => isComment(line) || /\.(c|h|cc)$/.test(path))
      .map(({ at }) => at),
  );
  assert.deepEqual(wide, []);
});

/** Files that a file imports, starts or includes. Outside of src they are often found by their name alone. */
function mentionedBy(path: string): string[] {
  const text = read(path);
  const named = [
    ...text.matchAll(/['"`/]((?:\.{0,2}\/)*[\w./-]+)\.(tsx?|js|mjs|c|h)['"`]/g),
  ].flatMap(([, stem = '', ending = '']) => {
    const name = `${stem}.${ending.replace(/^js$/, 'ts')}`;
    const byName = helpersNamed.get(basename(name)) ?? [];
    return [join(dirname(path), name), name.replace(/^.*\bdist\//, 'src/'), ...byName];
  });
  return named.filter((target) => code.includes(target));
}

function reachedFrom(roots: readonly string[]): ReadonlySet<string> {
  const reached = new Set<string>();
  const queue = [...roots];
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (reached.has(path) || !code.includes(path)) continue;
    reached.add(path);
    queue.push(...mentionedBy(path));
  }
  return reached;
}

test('every file is used: what no program reaches is not kept for its tests alone', () => {
  const scripts = code.filter((path) => /^scripts\/[\w-]+\.mjs$/.test(path));
  const tests = code.filter((path) => /^test\/.*\.test\.ts$/.test(path));
  const agent = code.filter((path) => /^(native|test)\/.*\.(c|cc)$/.test(path));
  for (const path of ENTRIES) assert.ok(sources.includes(path), `${path} is an entry`);
  const used = reachedFrom([...ENTRIES, ...scripts]);
  assert.deepEqual(
    sources.filter((path) => !used.has(path)),
    [],
  );
  const usedByAll = reachedFrom([...used, ...tests, ...agent, 'bench/run.ts']);
  assert.deepEqual(
    code.filter((path) => !usedByAll.has(path)),
    [],
  );
});

test('nothing is left to be done later, and only programs end their process', () => {
  // Put together here so that this file does not find itself.
  const leftOver = new RegExp(
    `\\b(${['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X', 'HA' + 'CK'].join('|')})\\b`,
  );
  for (const path of [...code, ...pages]) assert.doesNotMatch(read(path), leftOver, path);
  for (const path of sources) {
    assert.doesNotMatch(read(path), /\bconsole\.\w+\(/, path);
    if (!PROGRAMS.includes(path)) assert.doesNotMatch(read(path), /\bprocess\.exit\(/, path);
  }
});

test('a test that cannot run is skipped in one way, which is a failure on a build machine', () => {
  const skips = code.filter((path) => /\b\w+\.skip\(|\bskip: /.test(read(path)));
  assert.deepEqual(skips, ['test/helpers/capabilities.ts']);
});

test('each page has one title, and its links lead somewhere', () => {
  assert.ok(pages.length > 10);
  const broken: string[] = [];
  for (const path of pages) {
    const text = read(path).replace(/^```[\s\S]*?^```/gm, '');
    assert.equal([...text.matchAll(/^# \S/gm)].length, 1, `${path} has one title`);
    for (const [, link = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (!/^[a-z]+:/.test(link) && !leadsSomewhere(path, link)) broken.push(`${path}: ${link}`);
    }
  }
  assert.deepEqual(broken, []);
});

function leadsSomewhere(page: string, link: string): boolean {
  const [file = '', anchor] = link.split('#');
  const target = file === '' ? page : join(dirname(page), file);
  if (!existsSync(join(ROOT, target))) return false;
  return anchor === undefined || anchorsOf(read(target)).includes(anchor);
}

function anchorsOf(text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );
}

test('the version is the same everywhere', () => {
  const { version } = JSON.parse(read('package.json'));
  assert.equal(JSON.parse(read('packages/client/package.json')).version, version);
  assert.match(read('src/lib/version.ts'), new RegExp(`'${version.replaceAll('.', '\\.')}'`));
});
