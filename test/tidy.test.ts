// tidy: the rules of the house that no linter knows: who may import whom, what every file has, and
// that the documentation hangs together.

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';
import { PROJECT_ROOT } from './helpers/capabilities.ts';

/** What each room may import, besides itself, node: and packages that are not listed below. */
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
  workers: ['lib', 'config'],
  http: ['schema', 'lib', 'config'],
  client: [],
  cli: ['client', 'lib'],
  home: ['store', 'workers', 'engine', 'lib', 'config'],
  main: ['daemon', 'command', 'config', 'lib'],
  daemon: [
    'check',
    'command',
    'home',
    'engine',
    'store',
    'hypervisor',
    'workers',
    'http',
    'schema',
    'lib',
    'config',
  ],
};

/** What a room may import of another one's files only; `types` allows nothing but `import type`. */
const MAY_IMPORT_FILES: Readonly<Record<string, Readonly<Record<string, 'types' | 'values'>>>> = {
  store: { 'engine/store-ports.ts': 'types', 'engine/records.ts': 'types' },
  hypervisor: {
    'engine/network-ports.ts': 'types',
    'engine/ports.ts': 'values',
    'engine/records.ts': 'types',
  },
  workers: {
    'engine/device-ports.ts': 'types',
    'engine/media-ports.ts': 'types',
    'engine/network-ports.ts': 'types',
    'engine/ports.ts': 'values',
    'engine/records.ts': 'types',
    'hypervisor/qemu-versions.ts': 'values',
  },
  http: { 'engine/engine-api.ts': 'types', 'engine/records.ts': 'types' },
  client: {
    'lib/version.ts': 'values',
    'schema/artifact.ts': 'types',
    'schema/config-patch.ts': 'types',
    'schema/deployment.ts': 'types',
    'schema/event.ts': 'types',
    'schema/manifest.ts': 'types',
    'schema/system.ts': 'types',
    'schema/vm.ts': 'types',
    'schema/vm-config.ts': 'types',
  },
};

/** Values that may cross a wall of types. */
const SHARED_VALUES = ['RUN_FILES', 'TAP_DESCRIPTOR', 'VERSION', 'qemuVersion'];

const ONLY_IMPORTERS: Readonly<Record<string, readonly string[]>> = {
  'uWebSockets.js': ['http/uws.ts'],
  lmdb: ['store/env.ts'],
  msgpackr: ['store/env.ts'],
  piscina: ['workers/crew.ts'],
  ws: ['cli/shell.ts', 'http/guest-socket.ts'],
};

/** Files that are a process of their own: they alone may end it and read its environment. */
const PROGRAMS = ['src/main.ts', 'src/daemon.ts', 'src/volantd.ts', 'src/cli/main.ts'];

/** What is started, or imported by a user of the client's package: all of src must be reached from here. */
const ENTRIES = [...PROGRAMS, 'src/client/client.ts', 'src/client/methods.ts'];

const LINES_MAX = 400;
/** Of comments, and of C and C++. The formatter breaks TypeScript, except for texts, which it leaves alone. */
const COLUMNS_MAX = 130;
const SKIPPED = new Set(['node_modules', 'build', 'dist', '.build', '.git', 'results']);

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    if (SKIPPED.has(entry.name)) return [];
    const path = join(directory, entry.name);
    return entry.isDirectory() ? filesBelow(path) : [path];
  });
}

const ROOT = resolve(PROJECT_ROOT);
const FILES = filesBelow(ROOT).map((path) => relative(ROOT, path));
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');
const sources = FILES.filter((path) => /^src\/.*\.ts$/.test(path));
const code = FILES.filter((path) => /\.(ts|mjs|c|h|cc)$/.test(path));
/** Code outside of src, by the name of the file. */
const helpersNamed = new Map<string, string[]>();
for (const path of code.filter((file) => !file.startsWith('src/'))) {
  helpersNamed.set(basename(path), [...(helpersNamed.get(basename(path)) ?? []), path]);
}
const pages = FILES.filter((path) => path.endsWith('.md'));

/** A room is a directory of src, or a file of it. */
function roomOf(path: string): string {
  const [first = ''] = path.split('/');
  return first.replace(/\.ts$/, '');
}

interface Import {
  readonly from: string;
  readonly typeOnly: boolean;
  readonly names: readonly string[];
}

/** Comments and texts that look like imports do not begin a line with the word. */
function importsOf(text: string): Import[] {
  const statements = text.matchAll(/^(?:import|export)\s+(type\s+)?([^'";]*?)from\s+'([^']+)'/gm);
  return [...statements].map(([, type, clause = '', from = '']) => {
    const names = (/\{([^}]*)\}/.exec(clause)?.[1] ?? clause)
      .split(',')
      .map((name) => name.trim())
      .filter((name) => name !== '');
    const values = names.filter((name) => !name.startsWith('type '));
    return { from, typeOnly: type !== undefined || values.length === 0, names: values };
  });
}

test('data goes one way: each room imports only what it may', () => {
  const broken: string[] = [];
  for (const path of sources) {
    const inSource = path.slice('src/'.length);
    const room = roomOf(inSource);
    const allowed = MAY_IMPORT[room];
    assert.ok(allowed, `${path} is in a room that the walls do not know`);
    for (const { from, typeOnly, names } of importsOf(read(path))) {
      if (!from.startsWith('.')) continue;
      const target = relative('src', join(dirname(path), from));
      const targetRoom = roomOf(target);
      if (targetRoom === room || allowed.includes(targetRoom)) continue;
      const rule = MAY_IMPORT_FILES[room]?.[target];
      const shared = rule === 'values' && names.every((name) => SHARED_VALUES.includes(name));
      if (rule !== undefined && (typeOnly || shared)) continue;
      broken.push(`${path} imports ${names.join(', ')} from ${target}`);
    }
  }
  assert.deepEqual(broken, []);
});

test('each sharp library has one importer', () => {
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
  assert.deepEqual(loaders, ['src/workers/native.ts']);
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
  const named = [...text.matchAll(/['"`/]((?:\.{0,2}\/)*[\w./-]+)\.(ts|js|mjs|c|h)['"`]/g)].flatMap(
    ([, stem = '', ending = '']) => {
      const name = `${stem}.${ending.replace(/^js$/, 'ts')}`;
      const byName = helpersNamed.get(basename(name)) ?? [];
      return [join(dirname(path), name), name.replace(/^.*\bdist\//, 'src/'), ...byName];
    },
  );
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
