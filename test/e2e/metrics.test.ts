// e2e: what a real daemon counts, as Prometheus sees it: promtool takes the text, a real Prometheus scrapes it, and
// dashboard and alerts of deploy/ ask for nothing that is not there. Figures of a real guest go up with what it does.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { parse } from 'yaml';
import { PROJECT_ROOT, requireCapability } from '../helpers/capabilities.ts';
import { askGuest, type Daemon, startDaemon } from './daemon.ts';
import { installProbe } from './probe-image.ts';
import { DEPLOY, RULES, startPrometheus } from './prometheus.ts';

const OPENMETRICS = 'application/openmetrics-text; version=1.0.0';

interface Told {
  readonly type: string;
  readonly help: string;
  readonly labels: readonly string[];
}

/** The families of a text in the format of Prometheus. */
function familiesIn(text: string): ReadonlyMap<string, Told> {
  const families = new Map<string, { type: string; help: string; labels: string[] }>();
  let last = '';
  for (const line of text.split('\n')) {
    const [, kind, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
    if (kind === 'HELP') families.set(name, { type: '', help: rest, labels: [] });
    const family = families.get(kind === undefined ? last : name);
    if (kind === 'TYPE' && family !== undefined) family.type = rest;
    if (kind !== undefined) last = name;
    else {
      for (const [, label = ''] of line.matchAll(/[{,](\w+)="/g)) {
        if (label !== 'le' && family?.labels.includes(label) === false) family.labels.push(label);
      }
    }
  }
  return families;
}

async function scrape({ url }: Daemon, accept = 'text/plain'): Promise<string> {
  const response = await fetch(`${url}/metrics`, { headers: { accept } });
  assert.equal(response.status, 200);
  return response.text();
}

/** Each query of the dashboard and of the alerts, with what Grafana puts into it. */
function queriesOfDeploy(): readonly string[] {
  const dashboard = readFileSync(join(DEPLOY, 'grafana/volant.json'), 'utf8');
  const { panels } = JSON.parse(dashboard) as {
    panels: readonly { targets?: readonly { expr: string }[] }[];
  };
  const shown = panels
    .flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
    .map((expr) => expr.replaceAll('$__rate_interval', '1m').replaceAll(/\$(instance|vm)/g, '.*'));
  const { groups } = parse(readFileSync(RULES, 'utf8')) as {
    groups: readonly { rules: readonly { expr: string }[] }[];
  };
  const alerts = groups.flatMap(({ rules }) => rules.map(({ expr }) => expr));
  assert.ok(shown.length > 40 && alerts.length > 10, `${shown.length} ${alerts.length}`);
  return [...shown, ...alerts];
}

const namesIn = (query: string) =>
  [...query.matchAll(/\b(?:volant|process)_[a-z0-9_]+/g)].map(([name]) => name);

test('rules and their tests, and the example of a configuration, are right', (t) => {
  if (!requireCapability(t, 'prometheus')) return;
  const directory = join(DEPLOY, 'prometheus');
  for (const words of [
    ['check', 'rules', 'volant.rules.yml'],
    ['check', 'config', 'prometheus.yml'],
    ['test', 'rules', 'volant.rules.test.yml'],
  ]) {
    const { status, stdout, stderr } = spawnSync('promtool', words, { cwd: directory });
    assert.equal(status, 0, `${words.join(' ')}: ${stdout}${stderr}`);
  }
  const text = readFileSync(join(directory, 'volant.rules.test.yml'), 'utf8');
  const alerts = [...readFileSync(RULES, 'utf8').matchAll(/- alert: (\w+)/g)].map(
    ([, name]) => name,
  );
  const fires = new Set(
    [...text.matchAll(/alertname: (\w+)\n +exp_alerts:\n/g)].map(([, name]) => name),
  );
  assert.deepEqual(
    alerts.filter((name) => !fires.has(name)),
    [],
    'each alert fires in a test',
  );
});

test('a daemon is scraped by Prometheus, which can answer what dashboard and alerts ask', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'kernel', 'prometheus')) return;
  const key = 'a-key-of-the-test-that-is-long-enough';
  const daemon = await startDaemon(t, {
    VOLANT_HYPERVISOR: 'simulator',
    VOLANT_API_KEY: key,
    VOLANT_METRICS_VMS_MAX: '2',
  });
  const asked = (method: string, path: string, body?: object) =>
    fetch(daemon.url + path, {
      method,
      headers: { authorization: `Bearer ${key}`, accept: 'text/plain' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  assert.equal((await fetch(`${daemon.url}/metrics`)).status, 401);
  for (const name of ['one', 'other', 'three']) {
    assert.equal((await asked('POST', '/api/v1/vms', { name, plugin: 'hello' })).status, 201);
  }
  assert.equal((await asked('POST', '/api/v1/vms/one/restart')).status, 200);
  assert.equal((await asked('POST', '/api/v1/vms', { name: 'one', plugin: 'hello' })).status, 409);
  const text = await (await asked('GET', '/metrics')).text();

  await t.test('promtool finds nothing wrong with it', () => {
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: text });
    assert.equal(status, 0, `${stdout}${stderr}`);
    assert.equal(`${stdout}${stderr}`, '');
  });

  await t.test('docs/metrics.md lists exactly these metrics', () => {
    const page = readFileSync(join(PROJECT_ROOT, 'docs/metrics.md'), 'utf8');
    const row = /^\| `((?:volant|process)_\w+)` \| (\w+) \| (.*?) ?\| (.+) \|$/gm;
    const listed = new Map(
      [...page.matchAll(row)].map(([, name = '', type = '', labels = '', help = '']) => [
        name,
        { type, help, labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label = '']) => label) },
      ]),
    );
    const told = familiesIn(text);
    assert.deepEqual([...listed.keys()].toSorted(), [...told.keys()].toSorted());
    for (const [name, { type, help, labels }] of told) {
      const here = listed.get(name);
      assert.deepEqual([here?.type, here?.help], [type, help], name);
      // A metric without samples shows no labels.
      for (const label of labels) assert.ok(here?.labels.includes(label), `${name} ${label}`);
    }
  });

  await t.test('deploy/ uses no metric that the daemon does not have', () => {
    const known = new Set<string>();
    for (const [name, { type }] of familiesIn(text)) {
      known.add(name);
      const suffixes = type === 'histogram' ? ['_bucket', '_sum', '_count'] : ['_sum', '_count'];
      if (type === 'histogram' || type === 'summary')
        for (const one of suffixes) known.add(name + one);
    }
    const files = readdirSync(DEPLOY, { recursive: true, withFileTypes: true }).filter((entry) =>
      entry.isFile(),
    );
    const used = files.flatMap(({ parentPath, path, name }) =>
      namesIn(readFileSync(join(parentPath ?? path, name), 'utf8')),
    );
    assert.ok(used.length > 50);
    assert.deepEqual(
      used.filter((name) => !known.has(name)),
      [],
    );
  });

  await t.test('Prometheus reads it and answers every query', async (t) => {
    const prometheus = await startPrometheus(t, daemon, key);
    const { first } = prometheus;
    // Rates need several scrapes.
    while (Number((await first('count_over_time(up{job="volant"}[1m])')) ?? 0) < 4)
      await pause(250);
    assert.equal(await first('up{job="volant"}'), '1');
    for (const query of queriesOfDeploy()) await prometheus.query(query);
    const byVm = await prometheus.query('volant_vm_vcpus');
    assert.deepEqual(byVm.map(({ metric }) => metric['vm']).toSorted(), ['_other', 'one', 'other']);
    assert.equal(await first('volant_vms_without_series'), '1');
    assert.equal(await first('sum(volant_vms)'), '3');
    assert.equal(await first('volant_operations_total{kind="restart",outcome="done"}'), '1');
    assert.equal(await first('volant_http_requests_total{operation="createVM",code="409"}'), '1');
    assert.equal(await first('volant_healthy'), '1');
    const jobs = await prometheus.query('volant_job_duration_seconds_count{name="launch"}');
    assert.deepEqual(
      jobs.map(({ metric, value }) => [metric['job'], Number(value[1]) >= 4]),
      [['volant', true]],
    );
  });
});

test('the figures of a guest go up with what it does, and are null when it has ended', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t);
  const disk = join(daemon.home, 'images/data.raw');
  writeFileSync(disk, Buffer.alloc(4 * 2 ** 20, 'on-the-disk'));
  await installProbe(daemon, {
    disks: [{ name: 'data', source: `file://${disk}`, target: 'scratch' }],
  });
  const { ip_address: address, pid } = await daemon.createVm('one', { plugin: 'probe' });
  const stats = async () => (await daemon.call('GET', '/api/v1/vms/one/stats')).body;
  await askGuest(address, '/v1/cgi-bin/read?vda');
  const before = await stats();
  assert.equal(before.running, true);
  assert.equal(before.memory.guest_bytes, 128 * 2 ** 20);
  assert.ok(before.memory.resident_bytes > 16 * 2 ** 20, JSON.stringify(before.memory));
  assert.ok(before.cpu.user_seconds + before.cpu.system_seconds > 0.1, 'it has booted');
  assert.equal(before.disks.length, 1);
  assert.ok(before.disks[0].read_bytes > 0, JSON.stringify(before.disks));
  const resident = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  const differsBytes = Math.abs(Number(resident) * 1024 - before.memory.resident_bytes);
  assert.ok(differsBytes < 32 * 2 ** 20, `${resident} ${before.memory.resident_bytes}`);

  for (let request = 0; request < 20; request += 1) await askGuest(address, '/v1/cgi-bin/read?vda');
  await askGuest(address, '/v1/cgi-bin/write?from-guest');
  // Figures of the last second are kept.
  let after = await stats();
  while (after.sampled_at === before.sampled_at) {
    await pause(100);
    after = await stats();
  }
  assert.ok(after.uptime_seconds > before.uptime_seconds);
  assert.ok(after.cpu.user_seconds > before.cpu.user_seconds);
  assert.ok(after.network.received_packets >= before.network.received_packets + 20);
  assert.ok(after.network.sent_packets >= before.network.sent_packets + 20);
  assert.ok(after.network.sent_bytes > before.network.sent_bytes);
  assert.ok(
    after.disks[0].written_bytes > before.disks[0].written_bytes,
    JSON.stringify(after.disks),
  );
  const { body: all } = await daemon.call('GET', '/api/v1/stats/vms');
  assert.deepEqual(
    all.map(({ name }: { name: string }) => name),
    ['one'],
  );
  const text = await scrape(daemon, OPENMETRICS);
  const value = (line: RegExp) => Number(line.exec(text)?.[1]);
  assert.ok(value(/^volant_vm_disk_written_bytes_total\{vm="one"\} (\d+)$/m) > 0);
  assert.ok(value(/^volant_vm_network_sent_packets_total\{vm="one"\} (\d+)$/m) > 20);

  await daemon.call('POST', '/api/v1/vms/one/stop');
  const stopped = await stats();
  assert.deepEqual([stopped.running, stopped.cpu, stopped.disks], [false, null, null]);
  assert.match(stopped.missing.cpu, /No hypervisor/);
  assert.equal((await daemon.call('GET', '/api/v1/vms/none/stats')).body.code, 'VM_NOT_FOUND');
});
