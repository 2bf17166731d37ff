// docs: every example of a request, a manifest or a file for `volar apply` is accepted by the daemon, without unknown
// members.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { parseAllDocuments } from 'yaml';
import { LIMITS } from '../../src/config/limits.ts';
import type { Problems } from '../../src/lib/formats/member-path.ts';
import { CreateDeploymentSchema } from '../../src/schema/deployment.ts';
import { type ManifestInput, ManifestSchema } from '../../src/schema/manifest.ts';
import { checkConfig } from '../../src/schema/rules/config-rules.ts';
import { normaliseManifest } from '../../src/schema/rules/manifest-rules.ts';
import { compileValidator } from '../../src/schema/validate.ts';
import { CreateVmSchema } from '../../src/schema/vm.ts';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';
import { covers, membersOf, type Shape, shapeOf } from './members.ts';

type Example = Readonly<Record<string, unknown>>;

const PAGES = [
  'README.md',
  ...readdirSync(`${PROJECT_ROOT}docs`)
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

const isVm = compileValidator(CreateVmSchema);
const isDeployment = compileValidator(CreateDeploymentSchema);

function blocksOf(page: string, language: string): string[] {
  const text = readFileSync(`${PROJECT_ROOT}${page}`, 'utf8');
  const blocks = new RegExp(`^\`\`\`${language}\\b.*\\n([\\s\\S]*?)^\`\`\`$`, 'gm');
  return [...text.matchAll(blocks)].map((match) => match[1] ?? '');
}

function unknownMembers(schema: Shape, example: Example): Problems {
  const known = membersOf(schema).map(([path]) => path);
  const unknown = membersOf(shapeOf(example))
    .map(([path]) => path)
    .filter((path) => !known.some((row) => covers(row, path) || covers(path, row)));
  return Object.fromEntries(unknown.map((path) => [path, 'is not known']));
}

function problemsOfManifest(example: Example): Problems {
  const found = normaliseManifest(example as ManifestInput, LIMITS);
  const unknown = unknownMembers(ManifestSchema as Shape, example);
  return { ...unknown, ...('problems' in found ? found.problems : {}) };
}

function problemsOfVm(example: Example): Problems {
  const config = checkConfig((example['config'] ?? {}) as object);
  return { ...unknownMembers(CreateVmSchema as Shape, example), ...isVm(example), ...config };
}

function problemsOfDeployment(example: Example): Problems {
  const config = checkConfig(example['config'] as object);
  const unknown = unknownMembers(CreateDeploymentSchema as Shape, example);
  return { ...unknown, ...isDeployment(example), ...config };
}

/** What an example is, is told by its members; null for one of something else. */
function problemsOf({ kind, ...example }: Example): Problems | null {
  if (kind === 'VM' || (kind === undefined && 'plugin' in example)) return problemsOfVm(example);
  if (kind === 'Deployment' || ('replicas' in example && 'name' in example))
    return problemsOfDeployment(example);
  if (kind === 'Plugin' || ('workload' in example && 'version' in example && 'name' in example)) {
    return problemsOfManifest(example);
  }
  return null;
}

test('the examples in JSON are what the daemon takes', () => {
  let checked = 0;
  for (const page of PAGES) {
    for (const block of blocksOf(page, 'json')) {
      // volar makes paths absolute.
      const value: unknown = JSON.parse(block.replaceAll('"greeter.cpio"', '"/srv/greeter.cpio"'));
      for (const example of [value].flat() as Example[]) {
        const problems = problemsOf(example);
        if (problems === null) continue;
        assert.deepEqual(problems, {}, `${page}: ${JSON.stringify(example)}`);
        checked += 1;
      }
    }
  }
  assert.ok(checked >= 6);
});

test('the documents for apply in YAML are those in JSON', () => {
  const [documents = ''] = blocksOf('docs/volar.md', 'yaml');
  const yaml: unknown[] = parseAllDocuments(documents).map((document) => document.toJS());
  const json = blocksOf('docs/volar.md', 'json').map((block): unknown => JSON.parse(block));
  assert.ok(json.some((example) => isDeepStrictEqual(example, yaml)));
});

test('the bodies of requests in commands are JSON that the daemon takes', () => {
  let checked = 0;
  for (const page of PAGES) {
    for (const block of blocksOf(page, 'sh')) {
      for (const [, body = ''] of block.matchAll(/ -d '([^']+)'/g)) {
        const example: unknown = JSON.parse(body);
        const problems = problemsOf(example as Example);
        assert.deepEqual(problems ?? {}, {}, `${page}: ${body}`);
        checked += 1;
      }
      for (const [, body = ''] of block.matchAll(/<<'?MANIFEST'?\n([\s\S]*?)\nMANIFEST/g)) {
        const example = JSON.parse(body.replaceAll('$IMAGES', '/srv/images'));
        assert.deepEqual(problemsOfManifest(example), {}, `${page}: ${body}`);
        checked += 1;
      }
    }
  }
  assert.ok(checked >= 15);
});
