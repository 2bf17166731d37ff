// schema: everything in the contract about an operation is in the daemon's OpenAPI document, which may contain more.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { buildOpenApi } from '../../src/schema/openapi/openapi.ts';
import { OPERATIONS } from '../../src/schema/operations.ts';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';

// biome-ignore lint/suspicious/noExplicitAny: two JSON documents are compared, whatever they hold
type Json = any;

const contract: Json = JSON.parse(
  readFileSync(join(PROJECT_ROOT, 'test/fixtures/contract-openapi.json'), 'utf8'),
);
const ours: Json = JSON.parse(JSON.stringify(buildOpenApi({ version: 'test' })));

/** Operations of the contract that do not exist yet. Who adds one takes it off this list. */
const MISSING: readonly string[] = [];

function operationsOf(document: Json): { path: string; method: string; operation: Json }[] {
  return Object.entries<Json>(document.paths).flatMap(([path, methods]) =>
    Object.entries<Json>(methods).map(([method, operation]) => ({ path, method, operation })),
  );
}

/** Follows references and unwraps what is nullable. Of several forms the contract knows the first. */
function resolved(document: Json, schema: Json): Json {
  let current = schema;
  while (current?.$ref !== undefined || current?.oneOf !== undefined) {
    current =
      current.$ref === undefined
        ? current.oneOf[0]
        : document.components.schemas[current.$ref.split('/').at(-1)];
  }
  return current;
}

/** Every difference by which our schema says less than the contract's. */
function missingIn(wanted: Json, given: Json, path: string, depth = 0): string[] {
  const want = resolved(contract, wanted);
  const give = resolved(ours, given);
  if (give === undefined) return [`${path} is missing`];
  if (depth > 8) return [];
  const problems: string[] = [];
  if (want.type !== undefined && give.type !== want.type) {
    problems.push(`${path} is ${give.type}, not ${want.type}`);
  }
  if (want.format !== undefined && want.type !== 'integer' && give.format !== want.format) {
    problems.push(`${path} has format ${give.format}, not ${want.format}`);
  }
  for (const [name, member] of Object.entries<Json>(want.properties ?? {})) {
    problems.push(...missingIn(member, give.properties?.[name], `${path}.${name}`, depth + 1));
  }
  if (want.items) problems.push(...missingIn(want.items, give.items, `${path}[]`, depth + 1));
  const more = want.additionalProperties;
  if (more && Object.keys(more).length > 0) {
    problems.push(...missingIn(more, give.additionalProperties, `${path}.*`, depth + 1));
  }
  return problems;
}

suite('contract', () => {
  test('the list of missing operations is exact', () => {
    const ids = operationsOf(contract).map(({ operation }) => operation.operationId);
    assert.equal(ids.length, 32);
    assert.deepEqual(ids.filter((id) => !(id in OPERATIONS)).sort(), MISSING);
  });

  for (const { path, method, operation } of operationsOf(contract)) {
    if (MISSING.includes(operation.operationId)) continue;
    test(`${operation.operationId}: ${method.toUpperCase()} ${path}`, () => {
      const given = ours.paths[path]?.[method];
      assert.ok(given, 'path and method');
      assert.equal(given.operationId, operation.operationId);
      assert.deepEqual(given.tags, operation.tags);
      for (const parameter of operation.parameters ?? []) {
        const found = given.parameters?.find(
          (other: Json) => other.name === parameter.name && other.in === parameter.in,
        );
        assert.ok(found, `parameter ${parameter.name}`);
        assert.equal(found.required, parameter.required);
        assert.equal(found.schema.type, parameter.schema.type);
      }
      const problems: string[] = [];
      if (operation.requestBody) {
        const media = given.requestBody?.content?.['application/json'];
        const wanted = operation.requestBody.content['application/json'].schema;
        problems.push(...missingIn(wanted, media?.schema, 'request'));
        assert.equal(given.requestBody.required, operation.requestBody.required);
      }
      for (const [status, answer] of Object.entries<Json>(operation.responses)) {
        const found = given.responses[status];
        assert.ok(found, `answer ${status}`);
        for (const [type, media] of Object.entries<Json>(answer.content ?? {})) {
          assert.ok(found.content?.[type], `${status} as ${type}`);
          if (media.schema) {
            problems.push(...missingIn(media.schema, found.content[type].schema, `${status}`));
          }
        }
      }
      assert.deepEqual(problems, []);
    });
  }

  test('the components that the contract names have all their fields', () => {
    const problems = Object.entries<Json>(contract.components.schemas).flatMap(([name, schema]) =>
      missingIn(schema, ours.components.schemas[name], name),
    );
    assert.deepEqual(problems, []);
  });

  test('every reference leads somewhere and there is nothing that OpenAPI 3.0 does not know', () => {
    const text = JSON.stringify(ours);
    for (const [, name] of text.matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
      assert.ok(ours.components.schemas[name ?? ''], name);
    }
    assert.doesNotMatch(text, /"(anyOf|patternProperties|const|\$id)":|"type":"null"/);
  });
});
