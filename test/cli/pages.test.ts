// cli, client: their pages in docs list exactly the commands and methods that exist.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Command } from 'commander';
import { EXIT } from '../../src/cli/exit.ts';
import { createProgram } from '../../src/cli/program.ts';
import { createClient } from '../../src/client/client.ts';
import { METHODS } from '../../src/client/methods.ts';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';

const page = (name: string) => readFileSync(`${PROJECT_ROOT}docs/${name}`, 'utf8');

function leavesOf(command: Command): Command[] {
  const visible = command.commands.filter((sub) => !sub.name().startsWith('__'));
  return visible.length === 0 ? [command] : visible.flatMap(leavesOf);
}

function lineOf(command: Command): string {
  return command.parent === null ? command.name() : `${lineOf(command.parent)} ${command.name()}`;
}

test('docs/volar.md lists exactly the commands of volar', () => {
  const listed = [...page('volar.md').matchAll(/^\| `(volar [a-z ]+[a-z])/gm)].map(
    ([, line]) => line,
  );
  const known = leavesOf(createProgram(process, {})).map(lineOf);
  assert.deepEqual(listed.toSorted(), known.toSorted());
});

test('docs/volar.md lists exactly the exit statuses', () => {
  const listed = [...page('volar.md').matchAll(/^\| (\d+) \|/gm)].map(([, status]) =>
    Number(status),
  );
  assert.deepEqual(listed, Object.values(EXIT));
});

test('each command says what it does, and takes -h', () => {
  for (const command of leavesOf(createProgram(process, {}))) {
    assert.ok(command.description().length > 5, lineOf(command));
    assert.match(command.helpInformation(), /-h, --help/);
  }
});

test('docs/client.md lists exactly the methods of the client', () => {
  const client = createClient();
  const listed = [...page('client.md').matchAll(/^\| `(\w+)` \| (`.*) \|$/gm)].flatMap(
    ([, group, methods = '']) =>
      [...methods.matchAll(/`(\w+)(?:\([^`]*\))?`(?! and)/g)].map(([, name]) => `${group}.${name}`),
  );
  const known = Object.entries(client).flatMap(([group, owner]) =>
    Object.getOwnPropertyNames(Object.getPrototypeOf(owner))
      .filter((name) => name !== 'constructor')
      .map((name) => `${group}.${name}`),
  );
  const methods = listed.filter((name) => Object.keys(client).includes(name.split('.')[0] ?? ''));
  assert.deepEqual(methods.toSorted(), known.toSorted());
  for (const method of Object.values(METHODS)) assert.ok(known.includes(method), method);
});
