// tidy: the layout has layers at every level. In each folder the files and folders, joined by the imports between them
// (those of types too), can be drawn so that every arrow points down.

import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { importsOf, read, sources } from './sources.ts';

interface Arrow {
  readonly from: string;
  readonly to: string;
}

const arrows: readonly Arrow[] = sources.flatMap((from) =>
  importsOf(read(from))
    .filter((statement) => statement.from.startsWith('.'))
    .map((statement) => ({ from, to: join(dirname(from), statement.from) })),
);

/** src, and every folder below it. */
const folders = [...new Set(sources.flatMap(foldersAbove))];

function foldersAbove(path: string): string[] {
  const folder = dirname(path);
  return folder === '.' ? [] : [folder, ...foldersAbove(folder)];
}

/** What is directly in the folder and has the path, or is it. undefined: the path is elsewhere. */
function partOf(folder: string, path: string): string | undefined {
  if (!path.startsWith(`${folder}/`)) return undefined;
  return path.slice(folder.length + 1).split('/')[0];
}

/** Arrows in a circle or between circles: what is left when arrows from or to what has no others are taken away. */
function circular(all: readonly Arrow[]): readonly Arrow[] {
  const begins = new Set(all.map(({ from }) => from));
  const ends = new Set(all.map(({ to }) => to));
  const left = all.filter(({ from, to }) => ends.has(from) && begins.has(to));
  return left.length === all.length ? left : circular(left);
}

const shown = ({ from, to }: Arrow) => `${from} imports ${to}`;

test('no imports of files run in a circle, those of types neither', () => {
  assert.deepEqual(circular(arrows).map(shown), []);
});

for (const folder of folders) {
  test(`${folder} has layers: what is in it imports in one direction`, () => {
    const between = arrows.flatMap((arrow) => {
      const from = partOf(folder, arrow.from);
      const to = partOf(folder, arrow.to);
      return from === undefined || to === undefined || from === to ? [] : [{ from, to, arrow }];
    });
    const left = new Set(circular(between).map(({ from, to }) => `${from} ${to}`));
    const broken = between.filter(({ from, to }) => left.has(`${from} ${to}`));
    assert.deepEqual(
      broken.map(({ arrow }) => shown(arrow)),
      [],
    );
  });
}

test('a circle is found, and what only leads to it is not shown', () => {
  const circle = [
    { from: 'a', to: 'b' },
    { from: 'b', to: 'a' },
  ];
  assert.deepEqual(circular([{ from: 'c', to: 'a' }, ...circle, { from: 'b', to: 'd' }]), circle);
  assert.deepEqual(
    circular([
      { from: 'c', to: 'a' },
      { from: 'a', to: 'b' },
    ]),
    [],
  );
});
