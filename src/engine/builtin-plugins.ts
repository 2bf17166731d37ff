// engine: the plugins that every daemon has from its first start. They are installed like any other
// and can be removed; a daemon that has started once does not bring them back.

import type { ManifestInput } from '../schema/manifest.ts';

/** `imageDirectory` is where `npm run setup` puts the images that belong to these. */
export function builtinPlugins(imageDirectory: string): readonly ManifestInput[] {
  return [
    {
      schema_version: '1.0',
      name: 'hello',
      version: '1.0.0',
      runtime: 'hello',
      enabled: true,
      labels: { description: 'Tells who it is: name, address, kernel, uptime, memory' },
      resources: { cpu_cores: 1, memory_mb: 128 },
      initramfs: { url: `file://${imageDirectory}/hello.cpio` },
      workload: {
        type: 'http',
        base_url: 'http://127.0.0.1:8000',
        entrypoint: ['/bin/busybox', 'httpd', '-f', '-p', '127.0.0.1:8000', '-h', '/srv/hello'],
      },
      health_check: { endpoint: '/', timeout_ms: 30_000 },
      network: { mode: 'bridged' },
    },
  ];
}
