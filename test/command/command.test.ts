// command: what volantd answers without a daemon, and how it reads its arguments.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkSettings } from '../../src/check.ts';
import { answerWithoutDaemon, parseArguments, REFUSED } from '../../src/command.ts';

const answer = (args: string[], environment = {}) =>
  answerWithoutDaemon(parseArguments(args), environment);

test('arguments that mean nothing are refused with the usage', () => {
  for (const args of [
    ['serve'],
    ['--nonsense'],
    ['--check', '--teardown'],
    ['--json'],
    ['--supervisor', 'cron'],
    ['--restarts', '-1'],
  ]) {
    assert.equal(answer(args)?.status, REFUSED, args.join(' '));
    assert.match(answer(args)?.stderr ?? '', /volantd --check/);
  }
});

test('to serve and to tear down is for the daemon', () => {
  assert.equal(answer([]), null);
  assert.equal(answer(['--teardown']), null);
  const args = ['--supervisor', 'systemd', '--unit', 'a.service', '--restarts', '3'];
  assert.deepEqual(parseArguments([...args, '--last-exit', 'SIGKILL'])?.supervision, {
    kind: 'systemd',
    unit: 'a.service',
    restarts: 3,
    last_exit: 'SIGKILL',
  });
});

test('the check names every wrong setting, and every risky one', () => {
  const wrong = answer(['--check'], { VOLANT_BRIDGE: '!', VOLANT_DNS: 'x' });
  assert.equal(wrong?.status, REFUSED);
  assert.match(wrong?.stderr ?? '', /VOLANT_BRIDGE.*\n.*VOLANT_DNS/);
  const open = answer(['--check', '--json'], { VOLANT_API_LISTEN: '0.0.0.0:80' });
  assert.equal(open?.status, 0);
  assert.match(JSON.parse(open?.stdout ?? '').warnings[0], /VOLANT_API_KEY/);
});

test('only an address that others reach, with nothing that keeps them out, is open', () => {
  const warnings = (environment: Record<string, string>) => checkSettings(environment).warnings;
  for (const host of ['0.0.0.0:1', '[::]:1', '192.0.2.1:1', 'volant.example:1']) {
    assert.equal(warnings({ VOLANT_API_LISTEN: host }).length, 1, host);
    assert.deepEqual(warnings({ VOLANT_API_LISTEN: host, VOLANT_API_KEY: 'k' }), []);
    const allowed = { VOLANT_API_LISTEN: host, VOLANT_API_ALLOW_CIDR: '10.0.0.0/8' };
    assert.deepEqual(warnings(allowed), []);
  }
  for (const host of ['127.0.0.1:1', 'localhost:1', '[::1]:1', 'unix:/run/x.sock']) {
    assert.deepEqual(warnings({ VOLANT_API_LISTEN: host }), [], host);
  }
});
