// docs: documents and sources use the field's words. Private words that newcomers stumbled over are listed here with what
// to write instead, and do not come back.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { test } from 'node:test';
import { LIMITS } from '../../src/config/limits.ts';
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

/** Words that pages, comments and messages are without. */
const INSTEAD_IN_PROSE: readonly (readonly [word: RegExp, instead: string])[] = [
  ...INSTEAD,
  [/\b(for|after) so long\b/i, 'for this time, after this time'],
  [/\ball the same\b/i, 'anyway'],
  [/\bcomes? back\b/i, 'returns'],
  [/\bgo(es)? on\b/i, 'continues'],
  [/\bfor ever\b/i, 'forever'],
  [/\bfor want of\b/i, 'for lack of'],
  [/\banew\b/i, 'again'],
  [/('s|s'|its) business\b/i, 'name the part that does it'],
  [/\bwhoever\b/i, 'name the subject'],
  [/\b(are|is|was|were|be|been) told\b/i, 'gets, is reported'],
  [/\btold of\b/i, 'reported'],
  [/\bagain and again\b/i, 'periodically, repeatedly'],
  [/\blately\b/i, 'recently'],
  [/\b(write|writes|written) down\b/i, 'store, record'],
];

/** In sources it is right: the contract has `host_port`, the number that a published port has on the host. */
const INSTEAD_IN_PAGES = [...INSTEAD_IN_PROSE, [/\bhost ports?\b/i, 'published port'] as const];

function pages(): string[] {
  const below = (directory: string) =>
    readdirSync(`${PROJECT_ROOT}${directory}`)
      .filter((name) => name.endsWith('.md'))
      .map((name) => `${directory}/${name}`);
  return [...below('.').map((page) => page.slice(2)), ...below('docs'), ...below('docs/adr')];
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
    for (const [word, instead] of INSTEAD_IN_PAGES) {
      const matches = prose.matchAll(new RegExp(`.{0,40}${word.source}.{0,20}`, 'gi'));
      for (const [match] of matches) found.push(`${page}: "${match}": write ${instead}`);
    }
  }
  assert.deepEqual(found, []);
});

/** Folders of sources that are without private words. */
const FOLDERS = ['src/engine'];

/** Words of sources only, in comments, messages and the parts of identifiers. */
const INSTEAD_IN_SOURCES: readonly (readonly [word: RegExp, instead: string])[] = [
  ...INSTEAD,
  [/\bin line\b/i, 'queued, or as wanted'],
  [/\brooms?\b/i, 'capacity, free space, or part'],
  [/\bnews\b/i, 'change, event'],
  [/\b(tells? of|told|untold)\b/i, 'report, emit, show'],
  [/\bwish(es)?\b/i, 'wanted state, request'],
  [/\bowe[sd]?\b/i, 'need, pending'],
  [/\b(twins?|crew)\b/i, 'what it is'],
  [/\bsight\b/i, 'observation, facts'],
  [/\bhurr(y|ies|ied)\b/i, 'shorten'],
  [/\bforesee\b/i, 'preview'],
  [/\blately\b/i, 'recently'],
  [/\banew\b/i, 'again'],
  [/\bagain and again\b/i, 'periodically, repeatedly'],
  [/\bgo(es)? on\b/i, 'continue'],
  [/\blook(s|ed)? after\b/i, 'reconcile, watch'],
  [/\b(is|are|was|were) had\b/i, 'taken, held'],
  [/\b(write|writes|written) down\b/i, 'store, record'],
  [/\bbusiness\b/i, 'name the file that does it'],
  [/\bso (long|many|much|often) (it|as|at)\b/i, 'name the limit'],
];

/** Names that clients or settings have, which stay as they are. */
const FIXED_NAMES = ['NetworkInLine', 'InLine', 'NoRoom', ...Object.keys(LIMITS)];

/** The words of a source: those that names are made of, too. */
function wordsOf(file: string): string {
  const fixed = new RegExp(`\\b(${FIXED_NAMES.join('|')})\\b`, 'g');
  return readFileSync(file, 'utf8')
    .replaceAll(fixed, '')
    .replaceAll(/\n\s*(\/\/|\*)/g, ' ')
    .replaceAll(/(?<=[a-z])(?=[A-Z])/g, ' ');
}

test('the sources are without private words', () => {
  const found: string[] = [];
  for (const folder of FOLDERS) {
    const names = readdirSync(`${PROJECT_ROOT}${folder}`, { encoding: 'utf8', recursive: true });
    for (const name of names.filter((one) => one.endsWith('.ts'))) {
      const words = wordsOf(`${PROJECT_ROOT}${folder}/${name}`);
      for (const [word, instead] of INSTEAD_IN_SOURCES) {
        const matches = words.matchAll(new RegExp(`.{0,40}${word.source}.{0,20}`, 'gi'));
        for (const [match] of matches)
          found.push(`${folder}/${name}: "${match}": write ${instead}`);
      }
    }
  }
  assert.deepEqual(found, []);
});

/** Files and folders whose comments and messages are without private words; their identifiers are not checked. */
const TEXTS_OF = ['native', 'scripts', 'src', 'ui'];

/** Words of comments and messages only. */
const INSTEAD_IN_TEXTS: readonly (readonly [word: RegExp, instead: string])[] = [
  ...INSTEAD_IN_PROSE,
  [/\bcrews?\b/i, 'pool'],
  [/\bput aside\b/i, 'moved away, renamed'],
  [/\bis fine\b/i, 'is no error'],
];

function filesBelow(path: string): string[] {
  if (!statSync(`${PROJECT_ROOT}${path}`).isDirectory()) return [path];
  return readdirSync(`${PROJECT_ROOT}${path}`).flatMap((name) => filesBelow(`${path}/${name}`));
}

const COMMENT = /^ *(\/\/|\/\*\*|\*).*/gm;

/** Comments, without the marks at the start of their lines, and texts of more than one word. */
function textsOf(path: string): string {
  const code = readFileSync(`${PROJECT_ROOT}${path}`, 'utf8');
  const comments = code.match(COMMENT) ?? [];
  const texts = code.replaceAll(COMMENT, '').match(/'[^'\n]* [^'\n]*'|`[^`]* [^`]*`/g) ?? [];
  const lines = comments.map((line) => line.replace(/^ *(\/\/|\/\*\*|\*\/?) ?/, ''));
  return [lines.join(' '), ...texts].join('\n').replaceAll(/`[\w.]+`/g, '');
}

test('comments and messages are without private words', () => {
  const files = TEXTS_OF.flatMap(filesBelow).filter((path) => /\.(tsx?|mjs|c|h|cc)$/.test(path));
  const found = files.flatMap((path) => {
    const texts = textsOf(path);
    return INSTEAD_IN_TEXTS.flatMap(([word, instead]) => {
      const matches = texts.matchAll(new RegExp(`.{0,40}${word.source}.{0,20}`, 'gi'));
      return [...matches].map(([match]) => `${path}: "${match}": write ${instead}`);
    });
  });
  assert.deepEqual(found, []);
});
