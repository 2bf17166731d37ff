// docs: docs/config.md and the manifest's table in docs/plugins.md have exactly the members of the schema. Each example of
// docs/config.md is accepted, and takes effect when the page says so.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { LIMITS } from '../../src/config/limits.ts';
import type { EngineControl } from '../../src/engine/engine.ts';
import { VolantError } from '../../src/lib/errors.ts';
import { type ConfigPatch, ConfigPatchSchema } from '../../src/schema/config-patch.ts';
import { ManifestSchema } from '../../src/schema/manifest.ts';
import { compileValidator } from '../../src/schema/validate.ts';
import { VmConfigSchema } from '../../src/schema/vm-config.ts';
import { engineOn, newWorld } from '../engine/fakes.ts';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';
import { covers, membersOf, type Shape, shapeOf } from './members.ts';

interface Row {
  readonly member: string;
  readonly type: string;
  readonly takesEffect: string;
  readonly example: string;
}

const page = (name: string) => readFileSync(`${PROJECT_ROOT}docs/${name}`, 'utf8');

function rowsOfPage(): readonly Row[] {
  const row =
    /^\| `([^`]+)` \| ([^|]+) \| [^|]+ \| (at once|next start|stopped only|never) \| (.*?) ?\|$/gm;
  return [...page('config.md').matchAll(row)].map(
    ([, member = '', type = '', takesEffect = '', example = '']) => ({
      member,
      type,
      takesEffect,
      example: example.replaceAll('`', ''),
    }),
  );
}

async function runningVm(): Promise<EngineControl['engine']> {
  const world = newWorld();
  // A change that names a file or a device that is not there is refused.
  world.host.addDevice({ address: '0000:01:00.0' });
  for (const [, path = ''] of page('config.md').matchAll(/"path": "([^"]+)"/g)) {
    world.host.documents.set(path, '#cloud-config\n');
  }
  const { engine } = await engineOn(world);
  await engine.vms.create({ name: 'a', plugin: 'hello' });
  return engine;
}

/** When the change that an example shows takes effect, found out by making it. */
async function effectOf(example: ConfigPatch): Promise<string> {
  const engine = await runningVm();
  try {
    const { pending_restart } = await engine.configs.patch('a', example);
    return pending_restart ? 'next start' : 'at once';
  } catch (error) {
    if (error instanceof VolantError && error.code === 'VM_STATE_CONFLICT') return 'stopped only';
    throw error;
  }
}

test('docs/config.md has every member of a config, with its type', () => {
  const listed = rowsOfPage().map(({ member, type }): [string, string] => [member, type]);
  const members = membersOf(VmConfigSchema as Shape, '', ['manifest']);
  assert.deepEqual(Object.fromEntries(listed), Object.fromEntries(members));
  assert.equal(listed.length, members.length, 'one row for each');
});

test('every example of docs/config.md is accepted, has its member, and takes effect as the page says', async () => {
  const check = compileValidator(ConfigPatchSchema);
  let tried = 0;
  for (const { member, takesEffect, example } of rowsOfPage()) {
    if (example === '') continue;
    const patch = JSON.parse(example);
    assert.equal(check(patch), null, `the example of ${member}`);
    const found = membersOf(shapeOf(patch)).map(([path]) => path);
    const isThere = found.some((path) => path === member || path.startsWith(`${member}.`));
    assert.ok(isThere, `the example of ${member} has it`);
    assert.equal(await effectOf(patch), takesEffect, `the effect of ${member}`);
    tried += 1;
  }
  assert.ok(tried > 30);
});

test('the figures of docs/config.md are the limits', () => {
  const text = page('config.md');
  const ports = `at most ${LIMITS.exposedPortsMax}.`;
  assert.ok(text.includes(ports), `docs/config.md must say "${ports}"`);
  const bytes = (LIMITS.kernelCmdlineBytesMax - 1).toLocaleString('en-US');
  assert.ok(
    text.includes(`at most ${bytes} bytes`),
    `docs/config.md must say "at most ${bytes} bytes"`,
  );
});

test('docs/plugins.md has every member of a manifest, and no other', () => {
  const table = page('plugins.md').split('## The manifest, field by field')[1]?.split('\n## ')[0];
  const columns = [...(table ?? '').matchAll(/^\| (`[^|]+) \|/gm)].map((match) => match[1] ?? '');
  const listed = columns.flatMap((column) =>
    [...column.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? ''),
  );
  const members = membersOf(ManifestSchema as Shape).map(([path]) => path);
  for (const member of members) {
    assert.ok(
      listed.some((row) => covers(row, member)),
      `${member} has a row`,
    );
  }
  for (const row of listed) {
    assert.ok(
      members.some((member) => covers(row, member)),
      `${row} is a member`,
    );
  }
});
