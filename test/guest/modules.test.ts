// The modules of the agent form layers: no module includes one that includes it back, directly or through others, and
// neither do the folders. A module calls only what it includes, because the compiler refuses other declarations.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';

const AGENT = join(PROJECT_ROOT, 'native/guest');

/** Files that are no modules with a header and a source of the same name. */
const SOURCE_ONLY = ['main'];
const HEADER_ONLY = ['base/manifest_limits', 'version'];

type Graph = ReadonlyMap<string, ReadonlySet<string>>;

function filesOf(ending: string): string[] {
  const all = readdirSync(AGENT, { encoding: 'utf8', recursive: true });
  return all.filter((file) => file.endsWith(ending)).sort();
}

const withoutEnding = (file: string) => file.replace(/\.[ch]$/, '');

function includesOf(file: string): string[] {
  const text = readFileSync(join(AGENT, file), 'utf8');
  return [...text.matchAll(/^#include "(.+)"$/gm)].map(([, included = '']) => included);
}

/** What the header and the source of each module include, as modules. */
function includeGraph(): Graph {
  const graph = new Map<string, Set<string>>();
  for (const file of [...filesOf('.c'), ...filesOf('.h')]) {
    const module = withoutEnding(file);
    const targets = graph.get(module) ?? new Set();
    for (const included of includesOf(file)) targets.add(withoutEnding(included));
    targets.delete(module);
    graph.set(module, targets);
  }
  return graph;
}

/** The same between folders; files on top belong to none. */
function folderGraph(modules: Graph): Graph {
  const graph = new Map<string, Set<string>>();
  for (const [module, targets] of modules) {
    const folder = dirname(module);
    if (folder === '.') continue;
    const folders = graph.get(folder) ?? new Set();
    for (const target of targets) folders.add(dirname(target));
    folders.delete(folder);
    graph.set(folder, folders);
  }
  return graph;
}

/** A path that returns to its beginning, or null. */
function findCycle(graph: Graph): readonly string[] | null {
  const done = new Set<string>();
  const visit = (node: string, path: readonly string[]): readonly string[] | null => {
    if (path.includes(node)) return [...path.slice(path.indexOf(node)), node];
    if (done.has(node)) return null;
    for (const next of graph.get(node) ?? []) {
      const cycle = visit(next, [...path, node]);
      if (cycle !== null) return cycle;
    }
    done.add(node);
    return null;
  };
  for (const node of graph.keys()) {
    const cycle = visit(node, []);
    if (cycle !== null) return cycle;
  }
  return null;
}

test('the search finds a cycle', () => {
  const graph = new Map([
    ['a', new Set(['b'])],
    ['b', new Set(['c'])],
    ['c', new Set(['b'])],
  ]);
  assert.deepEqual(findCycle(graph), ['b', 'c', 'b']);
});

test('no module includes one that includes it back', () => {
  const graph = includeGraph();
  assert.ok(graph.size > 30, 'the sources are found');
  assert.equal(findCycle(graph), null);
});

test('no folder includes one that includes it back, and none needs the files above it', () => {
  const modules = includeGraph();
  assert.equal(findCycle(folderGraph(modules)), null);
  for (const [module, targets] of modules) {
    const above = [...targets].filter((target) => dirname(target) === '.' && target !== 'version');
    if (dirname(module) !== '.') assert.deepEqual(above, [], module);
  }
});

test('each module has a header, which its source includes first, so that the header is complete by itself', () => {
  const sources = filesOf('.c').map(withoutEnding);
  const headers = filesOf('.h').map(withoutEnding);
  const modules = sources.filter((name) => !SOURCE_ONLY.includes(name));
  assert.deepEqual(
    modules,
    headers.filter((name) => !HEADER_ONLY.includes(name)),
  );
  for (const module of modules) {
    const text = readFileSync(join(AGENT, `${module}.c`), 'utf8');
    assert.equal(/^#include [<"](.+)[>"]$/m.exec(text)?.[1], `${module}.h`, `${module}.c`);
  }
});

test('a module declares no function of another one by itself', () => {
  // A declaration of a function that is not static, on one line or more.
  const declaration = /^(?!static\b|typedef\b)[a-z][\w *]*\([^;{}]*\)[^;{}]*;/gm;
  for (const file of filesOf('.c')) {
    const text = readFileSync(join(AGENT, file), 'utf8');
    assert.doesNotMatch(text, /^extern\b/m, file);
    assert.deepEqual(text.match(declaration), null, file);
  }
});

test('each file says at its head what belongs in it, and each function of a header what it promises', () => {
  for (const file of [...filesOf('.c'), ...filesOf('.h')]) {
    const text = readFileSync(join(AGENT, file), 'utf8');
    assert.match(text, /^\/\/ guest: [^\n]{20,}\n/, file);
    if (!file.endsWith('.h')) continue;
    const functions =
      /^(?!typedef\b|static\b|struct \w+ \{|enum\b|#|\/\/|extern\b)[a-z][\w *]*\([^;{}]*\)[^;{}]*;/gm;
    for (const { index, 0: found } of text.matchAll(functions)) {
      const before = text.slice(0, index).trimEnd().split('\n').at(-1) ?? '';
      assert.match(before, /^\/\/ |;$/, `${file}: ${found}`);
    }
  }
});
