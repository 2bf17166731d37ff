// http: revisions and rollbacks: the answers for clients, and the required scopes.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Engine } from '../../src/engine/engine-api.ts';
import { VolantError } from '../../src/lib/errors.ts';
import { makeKey, renderKeys } from '../../src/lib/files/key-file.ts';
import type { DeploymentRevision } from '../../src/schema/deployment.ts';
import { createFakeEngine } from './fake-engine.ts';
import { ask, startServer } from './harness.ts';
import { serve } from './served.ts';

// biome-ignore lint/suspicious/noExplicitAny: answers are looked into as JSON
const bodyOf = (answer: Response) => answer.json() as Promise<any>;

const PATH = '/api/v1/deployments/web';

test('revisions are listed and given back, and every refusal has its code', async (t) => {
  const { call, url } = await serve(t);
  const config = { plugin: 'hello', resources: { cpu_cores: 1, memory_mb: 128 } };
  await call('POST', '/api/v1/deployments', { name: 'web', replicas: 1, config });
  const larger = { ...config, resources: { cpu_cores: 1, memory_mb: 256 } };
  await fetch(`${url}${PATH}`, {
    method: 'PATCH',
    headers: { 'X-Request-Id': 'my-change' },
    body: JSON.stringify({ config: larger }),
  });
  const listed = await call('GET', `${PATH}/revisions`);
  const [second, first] = (await listed.json()) as DeploymentRevision[];
  assert.deepEqual(
    [listed.status, second?.revision, second?.current, second?.request_id, second?.changes],
    [200, 2, true, 'my-change', ['resources.memory_mb']],
  );
  assert.equal(typeof second?.client, 'string');
  assert.equal(first?.config.resources?.memory_mb, 128);

  const dry = await call('POST', `${PATH}/rollback?dry_run=true`, {});
  assert.deepEqual(
    [dry.status, (await bodyOf(dry)).actions],
    [200, [{ action: 'replace.vm', subject: 'web-1' }]],
  );
  const back = await call('POST', `${PATH}/rollback`, { revision: 1 });
  const { revision, updated_replicas, config: given } = await bodyOf(back);
  assert.deepEqual(
    [back.status, revision, updated_replicas, given.resources.memory_mb],
    [200, 3, 1, 128],
  );

  const refusals = [
    [`${PATH}/rollback`, { revision: 9 }, '404 REVISION_NOT_FOUND'],
    ['/api/v1/deployments/none/rollback', {}, '404 DEPLOYMENT_NOT_FOUND'],
    [`${PATH}/rollback`, { revision: 0 }, '400 BODY_INVALID'],
    [`${PATH}/rollback`, { revision: '1' }, '400 BODY_INVALID'],
    [`${PATH}/rollback`, undefined, '400 JSON_INVALID'],
    [`${PATH}/rollback?strict=true`, { to: 1 }, '400 BODY_INVALID'],
    [`${PATH}/rollback?wait=nowhere`, {}, '400 PARAMETER_INVALID'],
  ] as const;
  for (const [path, body, expected] of refusals) {
    const refused = await call('POST', path, body);
    assert.equal(`${refused.status} ${(await bodyOf(refused)).code}`, expected, path);
  }
});

test('a rollback needs what its revision needs, and goes to the one that was looked at', async (t) => {
  const operator = makeKey({ name: 'operator', scope: 'operate', prefix: '', expiresAt: null });
  const directory = mkdtempSync(join(tmpdir(), 'volant-keys-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'keys.json');
  writeFileSync(file, renderKeys([operator.stored]), { mode: 0o600 });
  const asked: unknown[] = [];
  const rollbackTarget: Engine['deployments']['rollbackTarget'] = (_, { revision = 2 }) => {
    const devices = { pci_passthrough: ['0000:01:00.0'] };
    const config = { plugin: 'hello', ...(revision === 1 ? { devices } : {}) };
    const facts = { current: false, created_at: null, changes: [], max_unavailable: 1 };
    return { ...facts, revision, config };
  };
  const rollback = async (name: string, request: object) => {
    asked.push([name, request]);
    throw new VolantError('DEPLOYMENT_DELETING');
  };
  const fake = createFakeEngine({ deployments: { rollbackTarget, rollback } });
  const server = await startServer(t, { fake, environment: { VOLANT_API_KEYS_FILE: file } });
  const back = async (request: object) => {
    const headers = { Authorization: `Bearer ${operator.key}` };
    const body = JSON.stringify(request);
    const { status, text } = await ask(server, `POST ${PATH}/rollback`, { headers, body });
    return `${status} ${JSON.parse(text).code}`;
  };
  assert.equal(await back({ revision: 1 }), '403 SCOPE_FORBIDDEN');
  assert.equal(await back({}), '409 DEPLOYMENT_DELETING');
  assert.deepEqual(asked, [['web', { revision: 2 }]]);
});
