// What whoever pulls from a registry relies on: credentials, authorities and mirrors of the operator count and nothing else
// does; a registry that asks for patience gets it; and what has arrived is not fetched again.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { suite, type TestContext, test } from 'node:test';
import { NO_REGISTRIES, type RegistrySettings } from '../../../../src/config/registries.ts';
import type { HostSettings } from '../../../../src/host/jobs/protocol.ts';
import { DIRECT } from '../../../../src/lib/net/proxy.ts';
import { requireCapability } from '../../../helpers/capabilities.ts';
import { startRegistry } from '../../../helpers/registry.ts';
import { until } from '../../../helpers/until.ts';
import { tar } from './image-maker.ts';
import { failureOf, workshop } from './workshop.ts';

const LAYERS = ['one', 'two'].map((name) => ({
  tar: tar({ path: name, content: name.repeat(5_000) }),
}));

const needed = (t: TestContext, ...more: 'openssl'[]) =>
  requireCapability(t, 'root', 'mke2fs', 'skopeo', 'docker-registry', ...more);

const registries = (more: Partial<RegistrySettings>): Partial<HostSettings> => ({
  registries: { ...NO_REGISTRIES, ...more },
});

/** Between a client and a registry without TLS. `interfere` returns true if it has answered itself. */
async function between(
  t: TestContext,
  registry: string,
  interfere: (path: string, response: ServerResponse) => boolean,
) {
  const seen: string[] = [];
  const server = createServer((incoming: IncomingMessage, response) => {
    const path = incoming.url ?? '';
    seen.push(`${incoming.method} ${path}`);
    if (interfere(path, response)) return;
    const [hostname, port] = registry.split(':');
    const headers = { ...incoming.headers, host: registry };
    const onward = request({ hostname, port, path, method: incoming.method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    onward.end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return { host: `127.0.0.1:${address.port}`, seen };
}

suite('a registry', () => {
  test('with TLS and a password is asked with the operator’s authority and credentials only', async (t) => {
    if (!needed(t, 'openssl')) return;
    const registry = await startRegistry(t, { tls: true, auth: true });
    const name = `${registry.host}/team/app:1`;
    const source = workshop(t).layout({ layers: LAYERS });
    registry.push(source.reference, 'team/app:1');
    const outbound = { ...DIRECT, caFile: registry.caFile };
    const { authFile } = registry;
    const sound = workshop(t, { outbound, ...registries({ authFile }) });
    assert.match((await sound.provide(name)).digest, /^sha256:/);
    const unknown = await failureOf(workshop(t, { outbound }).provide(name));
    assert.match(unknown.message, /the registry refuses it.*VOLANT_REGISTRY_AUTH_FILE/);
    const untrusted = await failureOf(workshop(t, registries({ authFile })).provide(name));
    assert.match(untrusted.message, /certificate of the registry is not trusted/);
    const missing = await failureOf(sound.provide(`${registry.host}/team/app:2`));
    assert.deepEqual(
      [missing.code, missing.message],
      [
        'MEDIA_DOWNLOAD_FAILED',
        `${registry.host}/team/app:2 cannot be pulled: the registry has no such image`,
      ],
    );
    const inner = await failureOf(workshop(t, { mediaHosts: [] }).provide(name));
    assert.deepEqual(
      [inner.code, /VOLANT_MEDIA_HOSTS/.test(inner.message)],
      ['MEDIA_NOT_ALLOWED', true],
    );
    const others = await failureOf(workshop(t, { mediaHosts: ['example.org'] }).provide('nginx'));
    assert.equal(others.code, 'MEDIA_NOT_ALLOWED');
  });

  test('may have mirrors, which are asked first and instead of it', async (t) => {
    if (!needed(t)) return;
    const registry = await startRegistry(t);
    registry.push(workshop(t).layout({ layers: LAYERS }).reference, 'team/app:1');
    const mirrors = new Map([['registry.invalid', [registry.host]]]);
    const { provide } = workshop(t, {
      mediaHosts: ['registry.invalid'],
      ...registries({ mirrors, insecure: [registry.host] }),
    });
    assert.match((await provide('registry.invalid/team/app:1')).digest, /^sha256:/);
  });

  test('that answers 429 with Retry-After is asked again after that time', async (t) => {
    if (!needed(t)) return;
    const registry = await startRegistry(t);
    registry.push(workshop(t).layout({ layers: LAYERS }).reference, 'app:1');
    let refusals = 2;
    const front = await between(t, registry.host, (path, response) => {
      if (!path.includes('/manifests/') || refusals === 0) return false;
      refusals -= 1;
      response.writeHead(429, { 'retry-after': '1' }).end();
      return true;
    });
    const { provide } = workshop(t, registries({ insecure: [front.host] }));
    assert.match((await provide(`${front.host}/app:1`)).digest, /^sha256:/);
    assert.equal(refusals, 0);
  });

  test('that fails in the middle is not asked for the blobs that have arrived', async (t) => {
    if (!needed(t)) return;
    const registry = await startRegistry(t);
    registry.push(workshop(t).layout({ layers: LAYERS }).reference, 'app:1');
    let broken = '';
    let isBroken = true;
    const present = () => readdirSync(`${settings.cacheDirectory}/blobs/sha256`).length;
    // The layers are fetched side by side, and a failure ends the others: the first is refused once the second is here.
    const refuse = async (response: ServerResponse) => {
      await until('a layer is in the cache', () => present() > 0);
      response.writeHead(500).end();
    };
    const front = await between(t, registry.host, (path, response) => {
      if (!path.includes('/blobs/')) return false;
      if (broken === '') broken = path;
      if (path !== broken || !isBroken) return false;
      void refuse(response);
      return true;
    });
    const { provide, settings } = workshop(t, registries({ insecure: [front.host] }));
    const failed = await failureOf(provide(`${front.host}/app:1`));
    assert.equal(failed.code, 'MEDIA_DOWNLOAD_FAILED', failed.message);
    const blobs = () =>
      front.seen.filter((asked) => asked.includes('/blobs/') && !asked.endsWith(broken));
    const before = blobs().length;
    assert.ok(before > 0, 'another blob has arrived');
    isBroken = false;
    await provide(`${front.host}/app:1`);
    // The config is asked for after the layers, so it may be new. No layer that was there is asked for again.
    const again = blobs()
      .slice(before)
      .filter((asked) => blobs().indexOf(asked) < before);
    assert.deepEqual(again, []);
    // Without the images themselves, what is built from the blobs that are here needs the manifest only.
    rmSync(`${settings.cacheDirectory}/images`, { recursive: true });
    const total = front.seen.filter((asked) => asked.includes('/blobs/')).length;
    await provide(`${front.host}/app:1`, { refresh: true });
    const later = front.seen.filter((asked) => asked.includes('/blobs/')).slice(total);
    assert.ok(later.length <= 1, `at most the config: ${later}`);
  });
});
