// fuzz, api: that the fuzzer of the API sees what is wrong with an answer, that its wrong values are wrong where it says, and
// that a seed makes the same requests again. A daemon is asked in e2e/fuzz-api.test.ts.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildOpenApi } from '../../src/schema/openapi/openapi.ts';
import { compileValidator } from '../../src/schema/validate.ts';
import { CreateVmSchema } from '../../src/schema/vm.ts';
import { DocumentChecker } from '../helpers/document.ts';
import { parseAnswer } from './api/answer.ts';
import { worldOf } from './api/hints.ts';
import { Judge } from './api/judge.ts';
import { bytesOf, type FuzzRequest, Requests } from './api/requests.ts';
import { randomOf } from './api/session.ts';
import { isBelow, Values } from './api/values.ts';

const DOCUMENT = buildOpenApi({ version: 'test' });
const MANIFEST = { name: 'hello', version: '1', labels: {} };

function requestsOf(seed: number): readonly FuzzRequest[] {
  const requests = new Requests(DOCUMENT);
  const world = worldOf(1, MANIFEST, '/images/a.raw');
  return Array.from({ length: 1_000 }, (_, index) => requests.make(randomOf(seed, index), world));
}

test('a seed makes the same requests again, of every kind and for every operation', () => {
  const bytes = (seed: number) =>
    requestsOf(seed).map((request) => bytesOf(request, 'h').toString());
  assert.deepEqual(bytes(7), bytes(7));
  assert.notDeepEqual(bytes(7), bytes(8));
  const kinds = new Set(requestsOf(7).map(({ kind }) => kind));
  assert.deepEqual([...kinds].sort(), ['hostile', 'right', 'wrong']);
  const operations = new Set(requestsOf(7).map(({ operation }) => operation.id));
  const all = Object.values(DOCUMENT['paths'] as object).flatMap((methods) => Object.keys(methods));
  assert.equal(operations.size, all.length);
});

test('right values are right, and wrong ones are wrong where it is said', () => {
  const check = compileValidator(CreateVmSchema);
  const schema = { $ref: '#/components/schemas/CreateVM' };
  for (let index = 0; index < 500; index += 1) {
    const values = new Values(DOCUMENT, randomOf(3, index), (path) =>
      path === 'name' ? 'a' : undefined,
    );
    const right = values.right(schema);
    assert.equal(check(right), null, JSON.stringify(right));
    const wrong = values.wrong(schema, right);
    if (wrong === null) continue;
    const named = Object.keys(check(wrong.value) ?? {});
    // Alone, words and patterns are the business of rules that come later.
    if (named.length === 0) continue;
    for (const path of wrong.paths) {
      assert.ok(
        named.some((name) => isBelow(name, path)),
        `${path}: ${JSON.stringify(wrong.value)}`,
      );
    }
  }
});

test('what is wrong with an answer is seen', () => {
  const judge = new Judge(new DocumentChecker(DOCUMENT));
  const [request] = requestsOf(7).filter(
    ({ kind, operation }) => kind === 'wrong' && operation.id === 'createVM',
  );
  assert.ok(request);
  const problems = (status: number, body: unknown, headers: Record<string, string> = {}) =>
    judge.problems(request, {
      kind: 'answer',
      answer: {
        status,
        headers: new Headers({
          'content-type': 'application/json',
          'x-request-id': 'a',
          ...headers,
        }),
        text: JSON.stringify(body),
      },
    });
  const details = Object.fromEntries(request.paths.map((path) => [path, 'is wrong']));
  const right = { error: 'x', code: 'BODY_INVALID', details };
  assert.deepEqual(problems(400, right), []);
  assert.notDeepEqual(problems(400, { ...right, details: {} }), [], 'not named');
  assert.notDeepEqual(problems(400, { ...right, code: 'NO_SUCH' }), [], 'an unknown code');
  assert.notDeepEqual(problems(404, right), [], 'a code with another status');
  assert.notDeepEqual(problems(500, { ...right, code: 'INTERNAL' }), [], 'a fault of the daemon');
  assert.notDeepEqual(problems(400, right, { 'content-type': 'text/html' }), [], 'another type');
  assert.notDeepEqual(problems(418, right), [], 'a status that is not listed');
  assert.notDeepEqual(problems(201, {}), [], 'taken all the same');
  for (const kind of ['late', 'closed'] as const) {
    assert.notDeepEqual(judge.problems(request, { kind }), [], kind);
  }
});

test('answers are read strictly', () => {
  const kindOf = (text: string, isClosed = false) =>
    parseAnswer(Buffer.from(text), false, isClosed).kind;
  assert.equal(kindOf('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'), 'whole');
  assert.equal(kindOf('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok'), 'part');
  assert.equal(kindOf('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok', true), 'malformed');
  assert.equal(
    kindOf('HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\no'),
    'malformed',
  );
  assert.equal(kindOf('HTTP/1.1 200 OK\r\nA b: c\r\n\r\n'), 'malformed');
  assert.equal(kindOf('HTP/1.1 200 OK\r\n\r\n'), 'malformed');
  assert.equal(
    kindOf('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n'),
    'stream',
  );
  assert.equal(
    kindOf('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'),
    'whole',
  );
});
