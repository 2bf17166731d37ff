// schema, rules: texts are stored in the documented form, whatever form was sent.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManifestSchema } from '../../../src/schema/manifest.ts';
import { inNormalForm } from '../../../src/schema/rules/normal-form.ts';
import { VmConfigSchema } from '../../../src/schema/vm-config.ts';

test('words and patterns get their normal form, wherever they are', () => {
  const given = {
    network: { mode: ' Bridged', ip_address: ' 10.0.0.5 ', subnet: ' kept ' },
    rootfs: { format: 'QCOW2 ', url: ' kept ' },
    expose: [{ protocol: 'UDP' }, { protocol: ' ' }],
    devices: { pci_passthrough: [' 0000:01:00.0'] },
    manifest: { disks: [{ format: 'RAW' }], workload: { type: 'HTTP', entrypoint: [' a '] } },
    cloud_init: null,
  };
  assert.deepEqual(inNormalForm(VmConfigSchema, given), {
    network: { mode: 'bridged', ip_address: '10.0.0.5', subnet: ' kept ' },
    rootfs: { format: 'qcow2', url: ' kept ' },
    expose: [{ protocol: 'udp' }, {}],
    devices: { pci_passthrough: ['0000:01:00.0'] },
    manifest: { disks: [{ format: 'raw' }], workload: { type: 'http', entrypoint: [' a '] } },
    cloud_init: null,
  });
});

test('what is no form of a word, and what the schema does not know, stays as it is', () => {
  const given = JSON.parse(
    '{"network": {"mode": "token ring"}, "__proto__": {"a": 1}, "x": " y "}',
  );
  const normal = inNormalForm(ManifestSchema, given);
  assert.equal(JSON.stringify(normal), JSON.stringify(given));
});
