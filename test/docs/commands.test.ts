// docs: every call of volar and of npm on a page is valid: the command with its options, the script. e2e/guides runs the
// calls that need only `npm run up`.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Command } from 'commander';
import { createProgram } from '../../src/cli/program.ts';
import { endOptionsAtImage } from '../../src/cli/program-words.ts';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';

const read = (path: string) => readFileSync(`${PROJECT_ROOT}${path}`, 'utf8');

const PAGES = [
  'README.md',
  ...readdirSync(`${PROJECT_ROOT}docs`)
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

/** Lines of commands in blocks, and commands in the text, each with its page. */
function commandsOf(page: string): string[] {
  const text = read(page);
  const blocks = [...text.matchAll(/^```sh\b.*\n([\s\S]*?)^```$/gm)].map((match) => match[1] ?? '');
  const prose = text.replaceAll(/^```[\s\S]*?^```$/gm, '');
  const spans = [...prose.matchAll(/`([^`\n]+)`/g)].map((match) => match[1] ?? '');
  return [...blocks.flatMap((block) => block.split('\n')), ...spans];
}

/** The words of a call of volar; null for another command. */
function wordsOfVolar(command: string): string[] | null {
  const call = /(?:^|npx |<\()volar (.*)$/.exec(command.replace(/\s#.*$/, ''))?.[1];
  return call === undefined ? null : (call.match(/'[^']*'|\S+/g) ?? []);
}

/** What is wrong with a call; null where nothing is. */
function problemOf(given: readonly string[]): string | null {
  let command: Command = createProgram(
    { stdout: { write: () => true }, stderr: { write: () => true } } as never,
    {},
  );
  const words = endOptionsAtImage(command, given);
  const options = [...command.options];
  let named = 0;
  for (const word of words) {
    // What follows is for a program in a guest.
    if (word === '--' && ['exec', 'run', 'create'].includes(command.name())) break;
    // "-" alone is standard input or output.
    if (word.startsWith('-') && word !== '-') {
      const flag = word.replace(/[=|].*$/, '');
      const known = [...options, ...command.options].flatMap(({ short, long }) => [short, long]);
      // Letters may be joined: -it.
      const letters = /^-[a-z]{2,}$/i.test(flag) ? [...flag.slice(1)].map((one) => `-${one}`) : [];
      const isKnown = (letters.length > 0 ? letters : [flag]).every((one) => known.includes(one));
      if (!isKnown && !['--help', '-h'].includes(flag)) return `${command.name()} has no ${flag}`;
      continue;
    }
    const next = command.commands.find(
      (known) => known.name() === word || known.aliases().includes(word),
    );
    if (next === undefined) {
      if (named === 0 && command.commands.length > 0 && /^[a-z]+$/.test(word)) {
        // The value of an option stands before the command.
        if (/^(http|unix|[a-z]+\.)/.test(word)) continue;
        return `${command.name()} has no command ${word}`;
      }
      if (command.commands.length === 0) named += 1;
      continue;
    }
    command = next;
    options.push(...command.options);
  }
  return null;
}

test('every call of volar in the documents is one that volar understands', () => {
  const wrong: string[] = [];
  let calls = 0;
  for (const page of PAGES) {
    for (const command of commandsOf(page)) {
      const words = wordsOfVolar(command);
      if (words === null) continue;
      calls += 1;
      const problem = problemOf(words);
      if (problem !== null) wrong.push(`${page}: volar ${words.join(' ')}: ${problem}`);
    }
  }
  assert.deepEqual(wrong, []);
  assert.ok(calls > 60);
});

test('commands to paste call what is there without a link: npx volar, npx volantd', () => {
  for (const page of PAGES) {
    const blocks = [...read(page).matchAll(/^```sh\b.*\n([\s\S]*?)^```$/gm)].map(
      ([block]) => block,
    );
    for (const block of blocks) assert.doesNotMatch(block, /^(volar|volantd) /m, page);
  }
});

test('every script of npm in the documents is in package.json', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  for (const page of [...PAGES, 'ARCHITECTURE.md', 'STYLE.md']) {
    for (const [call, name = ''] of read(page).matchAll(/npm run (?:-s )?([a-z][\w:-]*)/g)) {
      assert.ok(name in scripts, `${page}: ${call}`);
    }
  }
});

test('every page with commands to paste is run by e2e/guides', () => {
  const run = read('test/e2e/guides.test.ts');
  for (const page of PAGES) {
    if (/^```sh run$/m.test(read(page))) assert.ok(run.includes(`'${page}'`), page);
  }
});
