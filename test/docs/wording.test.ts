// docs: the documents use the field's words. Private words that newcomers stumbled over are listed here with what to
// write instead, and do not come back.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';

const INSTEAD: readonly (readonly [word: RegExp, instead: string])[] = [
  [/\bexposures?\b/i, 'published port'],
  [/\bcables?\b/i, 'veth pair'],
  [/\blast words\b/i, 'stderr tail'],
  [/\b(in|in a|place in|bounded) line\b/i, 'queue; repair, for what is put in line'],
  [/\brooms\b/i, 'part, layer, or the name of the folder'],
  [/so long it is waited for/i, 'waits up to'],
  [/\bmend(s|ed|ing)?\b/i, 'fix, repair'],
  [/what came of it/i, 'its result'],
  [/takes? (them|it) up again/i, 'adopts'],
  [/on all the same/i, 'continues in the background'],
  [/kept by its content/i, 'cached by content hash'],
  [/\bstood still\b/i, 'event loop stalled'],
  [/\bnot understood\b/i, 'usage error'],
  [/\bnot looked\s+at\b/i, 'ignored'],
  [/\bat most so many\b/i, 'maximum number of'],
  [/\bnumbers? of VMs of one config\b/i, 'set of identical VMs'],
];

function pages(): string[] {
  const below = (directory: string) =>
    readdirSync(`${PROJECT_ROOT}${directory}`)
      .filter((name) => name.endsWith('.md'))
      .map((name) => `${directory}/${name}`);
  return ['README.md', 'ARCHITECTURE.md', 'STYLE.md', ...below('docs'), ...below('docs/adr')];
}

/** What people read: without code, and without the targets of links. */
function proseOf(page: string): string {
  return readFileSync(`${PROJECT_ROOT}${page}`, 'utf8')
    .replaceAll(/^```[\s\S]*?^```$/gm, '')
    .replaceAll(/`[^`\n]*`/g, '')
    .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, (_, text: string) => (text.includes('/') ? '' : text));
}

test('the documents are without private words', () => {
  const found: string[] = [];
  for (const page of pages()) {
    const prose = proseOf(page);
    for (const [word, instead] of INSTEAD) {
      const matches = prose.matchAll(new RegExp(`.{0,40}${word.source}.{0,20}`, 'gi'));
      for (const [match] of matches) found.push(`${page}: "${match}": write ${instead}`);
    }
  }
  assert.deepEqual(found, []);
});
