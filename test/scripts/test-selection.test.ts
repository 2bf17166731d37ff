// scripts: each option of `npm test` excludes the right files, and every test file is in one group.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';
import { loadScript } from './load.ts';

interface Options {
  readonly filters: readonly string[];
  readonly endToEnd: readonly string[];
  readonly withEndToEnd: boolean;
  readonly withLab: boolean;
  readonly hereOnly?: boolean;
}

type Groups = Readonly<Record<'unit' | 'endToEnd' | 'busy' | 'lab', readonly string[]>>;

const { chooseTests } = await loadScript<{
  chooseTests(paths: readonly string[], options: Options): Groups;
}>('lib/tests/test-selection.mjs');
const { SYSTEMS } = await loadScript<{
  readonly SYSTEMS: readonly { readonly selection: readonly string[] }[];
}>('lib/tests/system-tests.mjs');

const TESTS = readdirSync(`${PROJECT_ROOT}test`, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.test.ts'))
  .map((path) => path.replace(/ts$/, 'js'));
const EVERYTHING = { filters: [], endToEnd: [''], withEndToEnd: true, withLab: true };
const among = (paths: readonly string[], directory: string) =>
  paths.filter((path) => path.startsWith(`${directory}/`)).sort();

test('without an option every test file is in one group, and nothing else', () => {
  const groups = chooseTests([...TESTS, 'e2e/daemon.js', 'e2e'], EVERYTHING);
  assert.deepEqual(Object.values(groups).flat().sort(), [...TESTS].sort());
  assert.deepEqual(groups.lab, among(TESTS, 'lab'));
  assert.deepEqual([...groups.endToEnd, ...groups.busy].sort(), among(TESTS, 'e2e'));
  assert.ok(groups.lab.length > 0 && groups.busy.length > 0 && groups.unit.length > 0);
});

test('without end-to-end tests and without the lab those groups are empty', () => {
  const whole = chooseTests(TESTS, EVERYTHING);
  const noLab = chooseTests(TESTS, { ...EVERYTHING, withLab: false });
  assert.deepEqual(noLab, { ...whole, lab: [] });
  const unitOnly = chooseTests(TESTS, { ...EVERYTHING, withEndToEnd: false, withLab: false });
  assert.deepEqual(unitOnly, { ...whole, endToEnd: [], busy: [], lab: [] });
});

test('on another system nothing judges what is the same on every system', () => {
  const left = Object.values(chooseTests(TESTS, { ...EVERYTHING, hereOnly: true })).flat();
  assert.deepEqual(TESTS.filter((path) => !left.includes(path)).sort(), [
    'e2e/generated-client.test.js',
    'schema/openapi-judges.test.js',
  ]);
});

test('a text chooses among all files, the text of end-to-end tests among those only', () => {
  const { unit, endToEnd, lab } = chooseTests(TESTS, { ...EVERYTHING, filters: ['vfio'] });
  assert.deepEqual([unit, endToEnd], [[], []]);
  assert.deepEqual(lab, ['lab/vfio-guests.test.js', 'lab/vfio.test.js']);
  const chosen = chooseTests(TESTS, { ...EVERYTHING, endToEnd: ['e2e/taps'] });
  assert.deepEqual(chosen.endToEnd, ['e2e/taps.test.js']);
  assert.deepEqual(chosen.unit, chooseTests(TESTS, EVERYTHING).unit);
});

test('every text by which tests are chosen for another system chooses some', () => {
  const texts = SYSTEMS.flatMap(({ selection }) => selection).filter((text) => text !== '--e2e');
  for (const text of texts) {
    assert.ok(
      TESTS.some((path) => path.includes(text)),
      text,
    );
  }
});
