// http, mcp: the protocol's own conformance package against the endpoint. It expects a server with special tools such as
// test_simple_text. Checks that need those, or features that this server lacks, are listed with the reason; the package
// reports an entry of that list that passes.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { PROJECT_ROOT } from '../../helpers/capabilities.ts';
import { inTime } from '../harness.ts';
import { serve } from '../served.ts';

const APPLY = [
  'server-initialize',
  'ping',
  'tools-list',
  'resources-list',
  'dns-rebinding-protection',
];

const needsTool = (...scenarios: string[]) =>
  scenarios.map((name) => [name, 'calls a tool of the test server']);
const needsResource = (...scenarios: string[]) =>
  scenarios.map((name) => [name, 'reads a resource of the test server']);
const notOffered = (what: string, ...scenarios: string[]) =>
  scenarios.map((name) => [name, `${what} is not offered, and not advertised`]);

const DO_NOT_APPLY: Readonly<Record<string, string>> = Object.fromEntries([
  ...needsTool(
    'tools-call-simple-text',
    'tools-call-image',
    'tools-call-audio',
    'tools-call-embedded-resource',
    'tools-call-mixed-content',
    'tools-call-with-logging',
    'tools-call-error',
    'tools-call-with-progress',
    'tools-call-sampling',
    'tools-call-elicitation',
    'json-schema-2020-12',
    'elicitation-sep1034-defaults',
    'elicitation-sep1330-enums',
  ),
  ...needsResource('resources-read-text', 'resources-read-binary', 'resources-templates-read'),
  ...notOffered('a session', 'server-sse-polling', 'server-sse-multiple-streams'),
  ...notOffered('a subscription in a session', 'resources-subscribe', 'resources-unsubscribe'),
  ...notOffered('logging', 'logging-set-level'),
  ...notOffered('completion', 'completion-complete'),
  ...notOffered(
    'a prompt',
    'prompts-list',
    'prompts-get-simple',
    'prompts-get-with-args',
    'prompts-get-embedded-resource',
    'prompts-get-with-image',
  ),
]);

/** The package imports a function that fs has from Node 22 on, for a command that is not used here. */
const FS_WITH_GLOB = `data:text/javascript,${encodeURIComponent(
  "export * from 'node:fs'; export { default } from 'node:fs'; export const globSync = undefined;",
)}`;
const HOOK = `export const resolve = (specifier, context, next) =>
  specifier === 'fs' && context.parentURL?.includes('/@modelcontextprotocol/conformance/')
    ? { url: ${JSON.stringify(FS_WITH_GLOB)}, shortCircuit: true }
    : next(specifier, context);`;
const PRELOAD = `data:text/javascript,${encodeURIComponent(
  `import { register } from 'node:module';
   register('data:text/javascript,' + encodeURIComponent(${JSON.stringify(HOOK)}));`,
)}`;

const PROGRAM = join(PROJECT_ROOT, 'node_modules/@modelcontextprotocol/conformance/dist/index.js');

test('the conformance package is content with what applies to us', async (t) => {
  const served = await serve(t);
  const directory = mkdtempSync(join(tmpdir(), 'volant-mcp-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const baseline = join(directory, 'expected-failures.yml');
  const lines = Object.entries(DO_NOT_APPLY).map(([name, reason]) => `  - ${name} # ${reason}`);
  writeFileSync(baseline, ['server:', ...lines, ''].join('\n'));
  const results = join(directory, 'results');
  const url = `${served.url}/api/v1/mcp`;
  const args = ['server', '--url', url, '--suite', 'all', '--expected-failures', baseline];
  const child = spawn(
    process.execPath,
    ['--no-warnings', '--import', PRELOAD, PROGRAM, ...args, '--output-dir', results],
    { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  t.after(() => child.kill('SIGKILL'));
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  child.stderr.on('data', (chunk) => {
    output += chunk;
  });
  const status = await inTime(
    new Promise((resolve) => child.once('close', resolve)),
    'the conformance package',
  );
  assert.equal(status, 0, output);

  const checks = new Map(
    readdirSync(results).map((name) => {
      const scenario = name.replace(/^server-/, '').replace(/-\d{4}-\d{2}-\d{2}T.*$/, '');
      const found = JSON.parse(readFileSync(join(results, name, 'checks.json'), 'utf8'));
      return [scenario, found as { status: string }[]] as const;
    }),
  );
  const all = [...APPLY, ...Object.keys(DO_NOT_APPLY)];
  assert.deepEqual([...checks.keys()].toSorted(), all.toSorted());
  for (const scenario of APPLY) {
    const statuses = checks.get(scenario)?.map((check) => check.status) ?? [];
    assert.ok(statuses.length > 0, scenario);
    assert.ok(
      statuses.every((text) => text === 'SUCCESS'),
      `${scenario}: ${statuses}`,
    );
  }
});
