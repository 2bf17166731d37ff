// schema: independent validators find no error in the OpenAPI document. They are installed outside the checkout, see
// scripts/lib/api/openapi-tools.mjs.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { buildOpenApi } from '../../src/schema/openapi/openapi.ts';
import { OPENAPI_TOOLS, PROJECT_ROOT, requireCapability } from '../helpers/capabilities.ts';

const run = promisify(execFile);

interface Finding {
  readonly severity: unknown;
}

/** What a program writes about a document, whatever status it ends with. */
async function judge(t: TestContext, document: object, program: string, args: readonly string[]) {
  const folder = mkdtempSync(join(tmpdir(), 'volant-judge-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'openapi.json'), JSON.stringify(document));
  const path = join(OPENAPI_TOOLS, 'node_modules/.bin', program);
  const options = {
    cwd: folder,
    timeout: 60_000,
    maxBuffer: 16 * 1024 * 1024,
    env: { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' },
  };
  const { stdout } = await run(path, [...args, 'openapi.json'], options).catch(
    (error: { stdout?: string; code?: unknown }) => {
      // Status 1 is that of findings.
      if (error.code === 1 && error.stdout) return { stdout: error.stdout };
      throw error;
    },
  );
  return JSON.parse(stdout.slice(Math.max(0, stdout.search(/^[[{]/m))));
}

const redocly = async (t: TestContext, document: object): Promise<readonly Finding[]> => {
  const { problems } = await judge(t, document, 'redocly', ['lint', '--format=json']);
  return problems.filter(({ severity }: Finding) => severity === 'error');
};

const spectral = async (t: TestContext, document: object): Promise<readonly Finding[]> => {
  const rules = join(PROJECT_ROOT, 'test/tools/openapi/spectral.yaml');
  const found = await judge(t, document, 'spectral', ['lint', '--quiet', '-f=json', '-r', rules]);
  return found.filter(({ severity }: Finding) => severity === 0);
};

for (const [name, errorsOf] of Object.entries({ redocly, spectral })) {
  test(`${name} finds no error in the document`, async (t) => {
    if (!requireCapability(t, 'openapi-tools')) return;
    const document = buildOpenApi({ version: 'test' });
    assert.deepEqual(await errorsOf(t, document), []);
    // It does look: an operation that says nothing is found.
    const broken = { ...document, paths: { ...(document['paths'] as object), '/x': { get: {} } } };
    assert.notDeepEqual(await errorsOf(t, broken), []);
  });
}
