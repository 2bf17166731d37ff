// e2e: the daemon as a systemd unit. systemd itself is replaced by a small program that starts and ends what the unit
// names; files, commands, daemon and VM are real, in namespaces of their own.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { PROJECT_ROOT, requireCapability } from '../helpers/capabilities.ts';

const TIMEOUT_MS = 240_000;

/** What a host with systemd has, made of a copy of /etc and an empty /run. */
const PRELUDE = `set -eu
mount --make-rprivate /
mount --bind "$ROOT/etc" /etc
mount -t tmpfs run /run
mkdir -p /run/systemd/system
ip link set lo up
scripts() { node "$PROJECT/scripts/$1" "\${@:2}"; }
ask() { curl -fsS "http://127.0.0.1:7777$1"; echo; }
`;

interface Host {
  /** Runs a script of bash in namespaces of its own; whatever it starts ends with it. */
  run(script: string, settings?: Record<string, string>): string;
  /** How systemctl was called, one call after the other. */
  calls(): string[];
}

function hostWithSystemd(t: TestContext): Host {
  const root = mkdtempSync(join(tmpdir(), 'volant-systemd-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  cpSync('/etc', join(root, 'etc'), { recursive: true, verbatimSymlinks: true });
  for (const directory of ['bin', 'state']) mkdirSync(join(root, directory));
  copyFileSync(join(PROJECT_ROOT, 'test/fixtures/fake-systemctl'), join(root, 'bin/systemctl'));
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('VOLANT_'));
  const env = {
    ...Object.fromEntries(own),
    ROOT: root,
    PROJECT: PROJECT_ROOT,
    FAKE_SYSTEMD: join(root, 'state'),
    PATH: `${join(root, 'bin')}:${process.env['PATH']}`,
    VOLANT_HOME: join(root, 'home'),
  };
  return {
    run: (script, settings = {}) =>
      execFileSync(
        'unshare',
        // biome-ignore format: one line of a command
        ['--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc', 'bash', '-c', PRELUDE + script],
        { env: { ...env, ...settings }, encoding: 'utf8', timeout: TIMEOUT_MS, cwd: '/' },
      ),
    calls: () => readFileSync(join(root, 'state/calls'), 'utf8').trimEnd().split('\n'),
  };
}

test('a service is installed, restarted under its VMs, and removed', (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'unshare')) return;
  const host = hostWithSystemd(t);
  const output = host.run(
    `scripts install-service.mjs
stat -c '%a' /etc/volant/volantd.env
grep VOLANT_HYPERVISOR /etc/volant/volantd.env
ask /api/v1/system/info
curl -fsS -X POST http://127.0.0.1:7777/api/v1/vms -d '{"name":"one","plugin":"hello"}' | grep -o '"pid":[0-9]*'
unset VOLANT_HYPERVISOR
scripts install-service.mjs | grep -v '·'
ask /api/v1/vms/one | grep -o '"pid":[0-9]*'
(VOLANT_DNS=192.0.2.1 scripts install-service.mjs || true) 2>&1 | grep VOLANT_DNS
scripts uninstall-service.mjs
ls /etc/systemd/system | grep -c volant || true
scripts down.mjs --all`,
    { VOLANT_HYPERVISOR: 'simulator' },
  );
  assert.match(output, /volantd\.service runs, pid \d+/);
  assert.match(output, /^600\nVOLANT_HYPERVISOR="simulator"$/m);
  assert.match(output, /"supervisor":\{"kind":"systemd","unit":"volantd\.service"/);
  const pids = output.match(/^"pid":\d+$/gm) ?? [];
  assert.equal(pids.length, 2);
  assert.equal(pids[0], pids[1], 'the VM outlives the restart of its daemon');
  assert.match(output, /VOLANT_DNS is not set there and 192\.0\.2\.1 here/);
  assert.match(output, /service +is gone/);
  assert.match(output, /^0$/m, 'no unit is left');
  const asked = host.calls().filter((call) => !call.startsWith('show'));
  const unit = 'volantd.service';
  assert.deepEqual(asked.slice(0, 3), ['daemon-reload', `enable ${unit}`, `restart ${unit}`]);
  assert.deepEqual(asked.slice(-3), [`disable ${unit}`, `stop ${unit}`, 'daemon-reload']);
});

test('wrong settings are named and no service is made', (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'unshare')) return;
  const host = hostWithSystemd(t);
  const output = host.run(
    `(scripts install-service.mjs || true) 2>&1
ls /etc/volant /etc/systemd/system/volantd.service 2>&1 || true`,
    { VOLANT_BRIDGE: 'a-name-that-is-too-long', VOLANT_SUBNET: 'nonsense' },
  );
  assert.match(output, /VOLANT_BRIDGE: use 1 to 15[\s\S]*VOLANT_SUBNET: nonsense/);
  assert.match(output, /'?\/etc\/volant'?: No such file[\s\S]*volantd\.service'?: No such file/);
});

test('up and down use a unit of their own where systemd runs', (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'unshare')) return;
  const host = hostWithSystemd(t);
  const output = host.run(
    `scripts up.mjs | head -11
ask /api/v1/system/info
stat -c '%a %n' /run/systemd/system/*.service $VOLANT_HOME/volantd-up.env
scripts up.mjs | grep 'runs, pid'
scripts down.mjs --all
ls -A /run/systemd/system $VOLANT_HOME || true`,
    { VOLANT_HYPERVISOR: 'simulator', VOLANT_API_KEY: '' },
  );
  assert.match(output, /"supervisor":\{"kind":"systemd","unit":"volantd-up-[0-9a-f]{8}\.service"/);
  assert.match(output, /^644 .*\.service\n600 .*volantd-up\.env$/m);
  assert.match(output, /runs, pid/);
  assert.match(output, /ended, pid \d+/);
  assert.match(output, /\/run\/systemd\/system:\n(\n|$)/, 'no unit is left');
});
