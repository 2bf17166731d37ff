// docs: the reference pages list exactly what the program has, in both directions.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { LIMITS } from '../../src/config/limits.ts';
import { loadConfig } from '../../src/config.ts';
import { ERRORS } from '../../src/lib/errors.ts';
import { VERSION } from '../../src/lib/version.ts';
import { buildOpenApi } from '../../src/schema/openapi/openapi.ts';
import { OPERATIONS } from '../../src/schema/operations.ts';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';

const page = (name: string) => readFileSync(`${PROJECT_ROOT}docs/${name}`, 'utf8');

/** First and second column of every table row whose first column is a name in backticks. */
function rows(text: string, name: RegExp): [string, string][] {
  return [...text.matchAll(/^\| `([^`]+)` \| ([^|]*?) \|/gm)]
    .map((match): [string, string] => [match[1] ?? '', match[2] ?? ''])
    .filter(([first]) => name.test(first));
}

test('docs/configuration.md lists exactly the variables that the daemon reads', () => {
  const read = new Set<string>();
  const environment = new Proxy<Record<string, string>>(
    {},
    {
      get: (_, name) => {
        // Of some variables the lower-case name counts, too.
        read.add(String(name).toUpperCase());
        return undefined;
      },
    },
  );
  loadConfig(environment);
  const listed = rows(page('configuration.md'), /^(VOLANT_|[A-Z]+_PROXY$)/).map(([name]) => name);
  assert.deepEqual(listed.toSorted(), [...read].toSorted());
});

test('docs/limits.md lists every limit with its value', () => {
  const listed = rows(page('limits.md'), /^[a-z][A-Za-z]+$/);
  assert.deepEqual(differences('docs/limits.md', listed, Object.entries(LIMITS)), []);
});

test('docs/errors.md lists every code with its status', () => {
  const listed = rows(page('errors.md'), /^[A-Z_]+$/);
  const defined = Object.entries(ERRORS).map(([code, { status }]) => [code, status] as const);
  assert.deepEqual(differences('docs/errors.md', listed, defined), []);
});

/** What to change in a page, as sentences, so that it has each name once and with its number. */
function differences(
  where: string,
  listed: readonly (readonly [string, string])[],
  defined: readonly (readonly [string, number])[],
): readonly string[] {
  const names = new Set(defined.map(([name]) => name));
  const unknown = listed.filter(([name]) => !names.has(name));
  return [
    ...unknown.map(([name]) => `${where}: the code has no ${name}: remove its row`),
    ...defined.flatMap(([name, value]) => {
      const found = listed.filter(([other]) => other === name);
      if (found.length === 0) return [`${where}: add a row for ${name}, ${value}`];
      if (found.length > 1) return [`${where}: ${name} has ${found.length} rows`];
      const [[, text] = ['', '']] = found;
      return Number(text) === value ? [] : [`${where}: ${name} is ${text}, in the code ${value}`];
    }),
  ];
}

for (const name of ['security.md', 'reliability.md']) {
  test(`the tests that docs/${name} names are there`, () => {
    const named = [...page(name).matchAll(/`((?:[a-z0-9]+)(?:\/[a-z0-9-]+)+)`/g)];
    const missing = named.filter(([, path]) => !existsSync(`${PROJECT_ROOT}test/${path}.test.ts`));
    assert.ok(named.length > 20);
    assert.deepEqual(
      missing.map(([, path]) => path),
      [],
    );
  });
}

test('docs/openapi.json is what the daemon gives out; `npm run openapi` writes it again', () => {
  const generated = JSON.parse(JSON.stringify(buildOpenApi({ version: VERSION })));
  assert.deepEqual(JSON.parse(page('openapi.json')), generated);
});

test('the guides use only paths that the API has', () => {
  const known = Object.values(OPERATIONS).map(
    ({ path }) => new RegExp(`^${path.replace(/\{\w+\}/g, '[^/]+')}$`),
  );
  // A proxy is no operation: what follows is the workload's.
  known.push(/^\/api\/v1\/vms\/[^/]+\/agent\/.*$/);
  // The path in a guest has any number of segments.
  known.push(/^\/api\/v1\/vms\/[^/]+\/files\/.*$/);
  for (const name of ['api.md', 'quick-start.md', 'plugins.md', 'operations.md', '../README.md']) {
    const used = [
      ...page(name).matchAll(/(?:\$API|:7777|GET |POST |DELETE )(\/api\/[^\s"'`)?]*)/g),
    ];
    assert.ok(used.length > 0, `${name} uses the API`);
    for (const [, path = ''] of used) {
      assert.ok(
        known.some((pattern) => pattern.test(path)),
        `${name}: ${path} is no path of the API`,
      );
    }
  }
});
