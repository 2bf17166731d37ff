// schema: plugins for the earlier implementation: each form of a manifest in its documents can be installed unchanged, and
// is returned with all its members.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { LIMITS } from '../../src/config/limits.ts';
import {
  publishedPortsOf,
  replicaPortProblems,
} from '../../src/engine/published-ports/published-ports.ts';
import { networkModeOf, resolveConfig } from '../../src/engine/vms/launch/launch-spec.ts';
import { type ManifestInput, ManifestSchema } from '../../src/schema/manifest.ts';
import { normaliseManifest } from '../../src/schema/rules/manifest-rules.ts';
import { takeUnknownMembers } from '../../src/schema/unknown-members.ts';
import { compileValidator } from '../../src/schema/validate.ts';
import type { VmConfig, VmConfigInput } from '../../src/schema/vm-config.ts';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';

const path = join(PROJECT_ROOT, 'test/fixtures/earlier-manifests.json');
const FORMS = JSON.parse(readFileSync(path, 'utf8')) as Record<string, ManifestInput>;

const problemsOf = compileValidator(ManifestSchema);

/** The config of a VM that asks for nothing of its own. */
function configOf(what: string, given: VmConfigInput = {}): VmConfig {
  const result = normaliseManifest(FORMS[what] ?? {}, LIMITS);
  assert.ok('manifest' in result, JSON.stringify(result));
  const defaults = { apiHost: '10.0.0.1', apiPort: 7777, isSimulated: false, ...LIMITS };
  return resolveConfig({ config: given }, result.manifest, defaults);
}

const TOLD = 'ports that are told, without a mode of the network';

/** Every member that is there and says something, with its path. */
function leaves(value: unknown, at = ''): [string, unknown][] {
  if (typeof value !== 'object' || value === null) return value === null ? [] : [[at, value]];
  return Object.entries(value).flatMap(([key, item]) => leaves(item, `${at}.${key}`));
}

suite('manifests of the earlier implementation', () => {
  for (const [what, manifest] of Object.entries(FORMS)) {
    test(what, () => {
      assert.equal(problemsOf(manifest), null);
      assert.deepEqual(takeUnknownMembers(ManifestSchema, structuredClone(manifest)), {});
      const result = normaliseManifest(manifest, LIMITS);
      assert.ok('manifest' in result, JSON.stringify(result));
      assert.equal(problemsOf(result.manifest), null, 'its normal form can be installed, too');
      const kept = new Map(leaves(result.manifest));
      for (const [member, value] of leaves(manifest)) {
        assert.deepEqual(kept.get(member), value, member);
      }
    });
  }

  test('a VM can be made of each', () => {
    for (const what of Object.keys(FORMS)) assert.ok(configOf(what).manifest.name, what);
  });

  test('a port with one of the host leads there, unless the config says which do', () => {
    const config = configOf(TOLD);
    assert.equal(networkModeOf(config), 'bridged');
    const port = { protocol: 'udp', hostPort: 9000, port: 8080, shared: false } as const;
    assert.deepEqual(publishedPortsOf(config, undefined), [port]);
    assert.deepEqual(publishedPortsOf(config, { index: 3 }), [{ ...port, hostPort: 9002 }]);
    assert.deepEqual(publishedPortsOf(configOf(TOLD, { expose: [] }), undefined), []);
    const own = configOf(TOLD, { expose: [{ port: 3000, host_port: 8000 }] });
    assert.deepEqual(
      publishedPortsOf(own, undefined).map(({ hostPort }) => hostPort),
      [8000],
    );
    const dhcp = configOf(TOLD, { network: { mode: 'dhcp' } });
    assert.deepEqual(publishedPortsOf(dhcp, undefined), [port]);
    const problems = replicaPortProblems(config, 60_000);
    assert.deepEqual(Object.keys(problems), ['manifest.network.expose[1].host_port']);
  });

  test('what cannot be done is refused with the way out', () => {
    const problemsWith = (change: object) => {
      const manifest = { ...FORMS['a program that is only started'], ...change } as ManifestInput;
      const result = normaliseManifest(manifest, LIMITS);
      return 'problems' in result ? result.problems : {};
    };
    const check = problemsWith({ health_check: { endpoint: '/', timeout_ms: 1000 } });
    assert.match(check['health_check.endpoint'] ?? '', /needs workload\.base_url, such as/);
    const port = problemsWith({ health_check: { type: 'tcp' } });
    assert.match(port['health_check.port'] ?? '', /is required/);
    const seed = problemsWith({ cloud_init: { seed_mode: 'iso9660' } });
    assert.match(seed['cloud_init.seed_mode'] ?? '', /must be vfat, or missing/);
    const http = problemsWith({ workload: { type: 'http', entrypoint: ['/bin/x'] } });
    assert.match(http['workload.base_url'] ?? '', /such as http:/);
    for (const network of [
      {},
      { expose: [{ protocol: 'tcp' }] },
      { expose: [{ port: 1, protocol: 'x' }] },
    ]) {
      assert.equal(Object.keys(problemsWith({ network })).length, 1, JSON.stringify(network));
    }
    const twice = { port: 80, host_port: 80 };
    assert.deepEqual(problemsWith({ network: { expose: [twice, twice] } }), {
      'network.expose[1].host_port': 'is there twice',
    });
  });

  test('the name of a root disk says its format where nothing else does', () => {
    const formatOf = (url: string, format?: string) => {
      const rootfs = { url, ...(format === undefined ? {} : { format }) };
      const manifest = { ...FORMS['a service of gRPC'], rootfs } as ManifestInput;
      const result = normaliseManifest(manifest, LIMITS);
      assert.ok('manifest' in result, JSON.stringify(result));
      return result.manifest.rootfs.format;
    };
    assert.equal(formatOf('/srv/a.qcow2'), 'qcow2');
    assert.equal(formatOf('https://images.example.org/a.ext4?version=2'), 'ext4');
    assert.equal(formatOf('/srv/a.img'), 'raw');
    assert.equal(formatOf('/srv/a.qcow2', 'raw'), 'raw');
  });
});
