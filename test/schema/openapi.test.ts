// schema: what makes generated clients usable. Each rule is checked for all operations and all schemas, so that a new one
// cannot break it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { buildOpenApi } from '../../src/schema/openapi/openapi.ts';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';

// biome-ignore lint/suspicious/noExplicitAny: a JSON document is looked at, whatever it holds
type Json = any;

const contract: Json = JSON.parse(
  readFileSync(join(PROJECT_ROOT, 'test/fixtures/contract-openapi.json'), 'utf8'),
);
const ours: Json = JSON.parse(JSON.stringify(buildOpenApi({ version: 'test' })));
const ERROR = { $ref: '#/components/schemas/Error' };
const INT32_MAX = 2 ** 31 - 1;

const operations: readonly Json[] = Object.values<Json>(ours.paths).flatMap((path) =>
  Object.values<Json>(path),
);

function jsonOf(answer: Json): Json {
  return answer.content?.['application/json']?.schema;
}

/** Every schema of a part of the document, with its place. */
function* schemasIn(node: Json, place: string): Generator<{ place: string; schema: Json }> {
  if (typeof node !== 'object' || node === null) return;
  if ('type' in node && typeof node.type === 'string' && !('in' in node)) {
    yield { place, schema: node };
  }
  for (const [key, value] of Object.entries(node)) yield* schemasIn(value, `${place}/${key}`);
}

/** Problems of all schemas, as `place: problem`. */
function problemsOf(rule: (schema: Json, place: string) => string | undefined): string[] {
  return [...schemasIn(ours.paths, 'paths'), ...schemasIn(ours.components.schemas, 'schemas')]
    .map(({ place, schema }) => ({ place, problem: rule(schema, place) }))
    .filter(({ problem }) => problem !== undefined)
    .map(({ place, problem }) => `${place}: ${problem}`);
}

/** Every place where the contract refers to a component, and what is there in ours. */
function refsOf(wanted: Json, given: Json, place: string): string[] {
  if (typeof wanted !== 'object' || wanted === null) return [];
  if (wanted.$ref !== undefined) {
    return given?.$ref === wanted.$ref ? [] : [`${place}: not ${wanted.$ref}`];
  }
  return Object.entries<Json>(wanted).flatMap(([key, member]) => {
    const other = given?.$ref === undefined ? given : resolved(given);
    return refsOf(member, other?.[key], `${place}/${key}`);
  });
}

function resolved({ $ref }: Json): Json {
  return ours.components.schemas[$ref.split('/').at(-1)];
}

suite('the document for generated clients', () => {
  test('an operation has one type of success', () => {
    for (const { operationId, responses } of operations) {
      const types = Object.entries<Json>(responses)
        .filter(([status]) => status.startsWith('2'))
        .flatMap(([, answer]) => jsonOf(answer) ?? [])
        .map((schema) => JSON.stringify(schema));
      assert.ok(new Set(types).size <= 1, `${operationId}: ${types}`);
    }
  });

  test('everything else is an Error, and what is not named is one, too', () => {
    for (const { operationId, responses } of operations) {
      assert.deepEqual(jsonOf(responses.default), ERROR, operationId);
      for (const [status, answer] of Object.entries<Json>(responses)) {
        // 304 has no body.
        if (/^2|304|default/.test(status)) continue;
        if (operationId === 'getHealth' && status === '503') continue;
        // A JSON-RPC message is answered with one, whatever comes of it.
        if (operationId === 'postMCPCommand' && ['400', '404'].includes(status)) continue;
        assert.deepEqual(jsonOf(answer), ERROR, `${operationId} ${status}`);
      }
    }
  });

  test('what takes an Idempotency-Key says what a key can lead to', () => {
    const keyed = operations.filter(({ parameters = [] }) =>
      parameters.some(({ name }: Json) => name === 'Idempotency-Key'),
    );
    assert.ok(keyed.length > 10);
    for (const { operationId, responses } of keyed) {
      assert.ok(responses['400'], operationId);
      assert.match(responses['422'].description, /IDEMPOTENCY_MISMATCH/);
      for (const [status, { headers }] of Object.entries<Json>(responses)) {
        if (status.startsWith('2')) assert.ok(headers['Idempotent-Replayed'], operationId);
      }
    }
  });

  test('every answer has its request id', () => {
    for (const { operationId, responses } of operations) {
      for (const answer of Object.values<Json>(responses)) {
        assert.ok(answer.headers['X-Request-Id'], operationId);
      }
    }
  });

  test('what may be tried again later says when; configs say their version', () => {
    for (const { operationId, responses } of operations) {
      const late = responses['503'];
      if (late !== undefined) assert.ok(late.headers?.['Retry-After'], operationId);
    }
    for (const method of ['get', 'patch']) {
      const { responses } = ours.paths['/api/v1/vms/{name}/config'][method];
      assert.ok(responses['200'].headers.ETag);
    }
  });

  test('components are referred to wherever the contract refers to them', () => {
    assert.deepEqual(refsOf(contract.components.schemas, ours.components.schemas, 'schemas'), []);
    assert.deepEqual(refsOf(contract.paths, ours.paths, 'paths'), []);
  });

  test('every object of a body has a name', () => {
    const inline = problemsOf((schema, place) => {
      const isNamed = /^schemas\/\w+$/.test(place);
      return schema.properties === undefined || isNamed ? undefined : 'an object without a name';
    });
    assert.deepEqual(inline, []);
  });

  test('an object has named members, or may have any', () => {
    const closed = problemsOf(({ type, properties, additionalProperties }) => {
      if (type !== 'object') return undefined;
      const isFree = additionalProperties !== undefined && additionalProperties !== false;
      return Object.keys(properties ?? {}).length > 0 || isFree ? undefined : 'holds nothing';
    });
    assert.deepEqual(closed, []);
  });

  test('a number has bounds, and a format where it needs 64 bits', () => {
    const loose = problemsOf(({ type, format, minimum, maximum }) => {
      if (type !== 'integer' && type !== 'number') return undefined;
      if (minimum === undefined || maximum === undefined) return 'has no bounds';
      if (maximum > Number.MAX_SAFE_INTEGER) return 'is not the same in every language';
      return type === 'integer' && maximum > INT32_MAX && format !== 'int64'
        ? 'needs format int64'
        : undefined;
    });
    assert.deepEqual(loose, []);
  });

  test('one of several forms is one of several components', () => {
    for (const [name, { oneOf = [] }] of Object.entries<Json>(ours.components.schemas)) {
      for (const form of oneOf) assert.ok(form.$ref, name);
    }
    // Those of the MCP endpoint: a success and a refusal.
    const forms = JSON.stringify(ours).match(/"oneOf"/g)?.length;
    assert.equal(forms, 2, 'generators do not agree on others');
    assert.doesNotMatch(JSON.stringify(ours), /"anyOf"/);
  });

  test('what may be null says so beside its type', () => {
    const text = JSON.stringify(ours);
    assert.doesNotMatch(text, /"allOf"/);
    const nullable = text.match(/"nullable":true/g)?.length ?? 0;
    assert.ok(nullable > 10);
    assert.equal(problemsOf((schema) => (schema.nullable ? 'x' : undefined)).length, nullable);
    const words = problemsOf(({ nullable: may, enum: values }) =>
      may && values !== undefined && !values.includes(null)
        ? 'null is not among its words'
        : undefined,
    );
    assert.deepEqual(words, []);
  });

  test('an operation has one tag, or those of the contract, and every tag is described', () => {
    const known = ours.tags.map(({ name }: Json) => name);
    for (const { operationId, tags } of operations) {
      for (const tag of tags) assert.ok(known.includes(tag), tag);
      const isContracts = JSON.stringify(contract.paths).includes(`"${operationId}"`);
      if (!isContracts) assert.equal(tags.length, 1, operationId);
    }
  });

  test('keys are asked for wherever the daemon may ask for them', () => {
    assert.deepEqual(Object.keys(ours.components.securitySchemes), ['apiKey', 'bearer']);
    assert.deepEqual(ours.security, [{ apiKey: [] }, { bearer: [] }, {}]);
    for (const { operationId, security, 'x-scope': scope } of operations) {
      assert.deepEqual(security, scope === 'none' ? [] : undefined, operationId);
    }
  });

  test('closed sets are words, and names have a pattern', () => {
    const query = (path: string, method: string, name: string) =>
      ours.paths[path][method].parameters.find((other: Json) => other.name === name);
    const vms = '/api/v1/vms';
    assert.deepEqual(query(vms, 'post', 'wait').schema.enum, [
      'accepted',
      'running',
      'ready',
      'exited',
    ]);
    const deployments = query('/api/v1/deployments', 'post', 'wait');
    assert.deepEqual(deployments.schema.enum, ['accepted', 'running', 'ready']);
    assert.deepEqual(query(vms, 'get', 'order').schema.enum, ['asc', 'desc']);
    assert.equal(query(vms, 'get', 'sort').schema.enum.length, 5);
    assert.ok(query(vms, 'get', 'status').schema.items.enum.includes('running'));
    assert.equal(query(`${vms}/{name}/stop`, 'post', 'Idempotency-Key').schema.maxLength > 0, true);
    assert.ok(query(`${vms}/{name}`, 'get', 'name').schema.pattern);
    const artifact = '/api/v1/plugins/{plugin}/artifacts/{artifact}';
    assert.equal(query(artifact, 'get', 'version').required, true);
    const { NetworkConfig, CreateVM, Event, VM } = ours.components.schemas;
    assert.deepEqual(NetworkConfig.properties.mode.enum, ['bridged', 'vsock', 'dhcp']);
    assert.deepEqual(CreateVM.required, ['name', 'plugin']);
    assert.ok(Event.properties.type.enum.includes('DEPLOYMENT_SCALED'));
    assert.ok(VM.properties.status.enum.includes('crashed'));
  });
});
