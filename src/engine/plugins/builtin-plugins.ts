// engine, plugins: the built-in plugins, installed at the first start of a daemon. They can be removed like any other
// and are not installed again.

import type { ManifestInput } from '../../schema/manifest.ts';

/** `imageDirectory` is where `npm run setup` puts their images. */
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
      // A file: the answer of "/" starts eight programs, which an idle guest should not pay for each check.
      health_check: { endpoint: '/healthz', timeout_ms: 30_000 },
      network: { mode: 'bridged' },
    },
  ];
}
