// docs: the files and folders that documents name exist, and the trips of ARCHITECTURE.md pass each part of the source once.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { test } from 'node:test';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';
import { FILES } from '../tidy/sources.ts';

const text = readFileSync(`${PROJECT_ROOT}ARCHITECTURE.md`, 'utf8');

/** With or without the folder above: the text shortens what its context makes clear. */
const NAMED = /(?<![\w/.-])((?:[\w-]+\/)*[\w-]+(?:\.test)?\.(?:ts|mjs|cc|c|h|md))\b/g;

const exists = (path: string) => existsSync(`${PROJECT_ROOT}${path}`);

test('every file that ARCHITECTURE.md names exists', () => {
  const named = [...text.matchAll(NAMED)].map(([, path = '']) => path);
  assert.ok(named.length > 60);
  const missing = named.filter((path) => {
    if (exists(path) || exists(`src/${path}`)) return false;
    return path.includes('/') || !FILES.some((file) => basename(file) === path);
  });
  assert.deepEqual(missing, []);
});

/** What tests and builds make, and files of users' own. */
const MADE = /^(bench\/results|images\/[\w-]+\.\w+|images\/(vmlinux|[a-z]+-data))/;

test('every path of the source that a page names exists', () => {
  const pages = FILES.filter((path) => path.endsWith('.md') && path !== 'CHANGELOG.md');
  const missing = pages.flatMap((page) => {
    const prose = readFileSync(`${PROJECT_ROOT}${page}`, 'utf8');
    const named = prose.matchAll(
      /(?<![\w/.~>-])((?:src|test|scripts|native|images|bench|packages)\/[\w/.-]*[\w/])/g,
    );
    return [...named]
      .map(([, path = '']) => path)
      .filter((path) => !MADE.test(path) && !exists(path))
      .map((path) => `${page}: ${path}`);
  });
  assert.deepEqual(missing, []);
});

test('every folder of the engine is in the source layout', () => {
  const folders = FILES.filter((path) => path.startsWith('src/engine/'))
    .map((path) => path.split('/'))
    .filter((parts) => parts.length > 3)
    .map((parts) => parts[2] ?? '');
  const [layout = ''] = /^src\/engine\/.*?(?=^src\/store)/ms.exec(text) ?? [];
  const missing = [...new Set(folders)].filter((folder) => !layout.includes(`${folder}/`));
  assert.deepEqual(missing, []);
});

/** Folders of src down to the second level, else the folder at the top. */
function partOf(path: string): string {
  const [top, ...rest] = dirname(path).split('/');
  return top === 'src' ? rest.slice(0, 2).join('/') : (top ?? '');
}

test('each trip passes each part of the source once', () => {
  const [trips = ''] = /^## Three trips[\s\S]*/m.exec(text) ?? [];
  // A list begins with its first item.
  const lists = trips.split(/^1\. /m).slice(1);
  assert.equal(lists.length, 4);
  for (const list of lists) {
    const parts = [...list.matchAll(/\]\(([^)]+)\)/g)].map(([, path = '']) => partOf(path));
    const entered = parts.filter((part, index) => part !== parts[index - 1]);
    assert.ok(entered.length > 3);
    assert.deepEqual(entered, [...new Set(entered)]);
  }
});
