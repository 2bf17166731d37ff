// scripts: the text of a unit is valid for systemd, and settings in its files are unchanged.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { requireCapability } from '../helpers/capabilities.ts';
import { loadScript } from './load.ts';

const { environmentText, parseEnvironment, unitText } = await loadScript<{
  environmentText(settings: Record<string, string>): string;
  parseEnvironment(text: string): Record<string, string>;
  unitText(options: Record<string, string>): string;
}>('lib/service/systemd.mjs');

const TEXT = unitText({
  unit: 'volantd.service',
  description: 'Volant',
  home: '/var/lib/a home with 100%',
  environmentFile: '/etc/volant/volantd.env',
});

test('a unit keeps VMs alive, restarts after a death and not after a refusal', () => {
  for (const line of [
    'Restart=on-failure',
    'RestartPreventExitStatus=2',
    'KillMode=process',
    'OOMPolicy=continue',
    'EnvironmentFile=-/etc/volant/volantd.env',
    'Environment="VOLANT_HOME=/var/lib/a home with 100%%"',
    'WantedBy=multi-user.target',
  ]) {
    assert.ok(TEXT.split('\n').includes(line), `${line} in:\n${TEXT}`);
  }
  assert.match(
    TEXT,
    /^ExecStart=\S+ \S+dist\/main\.js --supervisor systemd --unit volantd\.service$/m,
  );
  // Hypervisors inherit these, and would lose their devices.
  assert.doesNotMatch(TEXT, /PrivateDevices|DevicePolicy|DeviceAllow|PrivateTmp/);
});

test('systemd finds nothing wrong with it', (t) => {
  if (!requireCapability(t, 'systemd-analyze')) return;
  const directory = mkdtempSync(join(tmpdir(), 'volant-unit-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const verify = (text: string) => {
    const file = join(directory, 'volantd.service');
    writeFileSync(file, text);
    const { status, stderr } = spawnSync('systemd-analyze', ['verify', file], { encoding: 'utf8' });
    // Older versions tell that they do not know the growing pause, which they ignore.
    const ignored = /Unknown key( name)? 'Restart(Steps|MaxDelaySec)'|man page|is not executable/;
    const said = stderr.split('\n').filter((line) => line.includes(file) && !ignored.test(line));
    return { status, said };
  };
  assert.deepEqual(verify(TEXT).said, []);
  assert.notDeepEqual(verify(TEXT.replace('KillMode=process', 'KillMode=nonsense')).said, []);
});

test('settings come out of an environment file as they went in', () => {
  const settings = {
    VOLANT_API_KEY: `a "key" with \\ and $HOME and 'quotes' and #`,
    VOLANT_DNS: '192.0.2.1,192.0.2.2',
    VOLANT_HOME: '/var/lib/volant',
  };
  const text = environmentText(settings);
  assert.deepEqual(parseEnvironment(`# a comment\n\n${text}`), settings);
  assert.deepEqual(parseEnvironment("A=plain\nB='single $x'\n"), { A: 'plain', B: 'single $x' });
  assert.equal(existsSync('/bin/sh'), true);
  // What systemd takes away between double quotes is what a shell takes away, too.
  const script = `${text}printf %s "$VOLANT_API_KEY"`;
  assert.equal(
    execFileSync('/bin/sh', ['-c', script], { encoding: 'utf8' }),
    settings.VOLANT_API_KEY,
  );
});
