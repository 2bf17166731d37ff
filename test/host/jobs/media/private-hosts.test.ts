// What an operator relies on when API clients name the URLs of images: the daemon does not become their way to the
// services of this host and its networks, however such a service is named.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { guardedGet } from '../../../../src/lib/net/guarded-get.ts';
import { DIRECT } from '../../../../src/lib/net/proxy.ts';
import { isPublicAddress, isSameAddress } from '../../../../src/lib/net/public-address.ts';
import { jobIn, MEDIA_HOSTS, sendFile, serve } from './image-site.ts';

const IMAGE = randomBytes(64 * 1024);
const REFUSED = { code: 'MEDIA_NOT_ALLOWED', message: /VOLANT_MEDIA_HOSTS/ };

const fileSite = (t: Parameters<typeof serve>[0]) =>
  serve(t, (request, response) => sendFile(request, response, IMAGE));

test('without names, and with "*", a service of this host is not asked, however its address is written', async (t) => {
  const site = await fileSite(t);
  const { port } = new URL(site.url);
  const hosts = [
    '127.0.0.1',
    '127.1',
    '2130706433',
    '0x7f000001',
    '0177.0.0.1',
    '0',
    '[::1]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[::127.0.0.1]',
    '[64:ff9b::7f00:1]',
    'localhost',
    'LOCALHOST',
    'localhost.',
    'images.localhost',
  ];
  for (const VOLANT_MEDIA_HOSTS of ['', '*']) {
    const { job, home } = jobIn(t, {}, VOLANT_MEDIA_HOSTS);
    for (const name of hosts) {
      const url = `http://${name}:${port}/image`;
      await assert.rejects(job(url), REFUSED, url);
    }
    assert.deepEqual(readdirSync(join(home, 'cache/sha256')), []);
  }
  assert.equal(site.requests.length, 0);
});

test('a host that is named is asked wherever it is, with or without its port, beside "*"', async (t) => {
  const site = await fileSite(t);
  const { port, host: withPort } = new URL(site.url);
  for (const [names, name] of [
    ['127.0.0.1', '127.0.0.1'],
    [`images.example,${withPort}`, '127.0.0.1'],
    ['*,LocalHost', 'localhost'],
    ['images.localhost', 'images.localhost'],
  ] as const) {
    const { job } = jobIn(t, {}, names);
    const { realPath } = await job(`http://${name}:${port}/image`);
    assert.deepEqual(readFileSync(realPath), IMAGE);
  }
  const { job } = jobIn(t, {}, '127.0.0.1:1');
  await assert.rejects(job(site.url), REFUSED);
});

test('a redirect of a host that is named leads to no private one that is not', async (t) => {
  const site = await fileSite(t);
  const inner = site.url.replace('127.0.0.1', 'localhost');
  for (const location of [inner, inner.replace('localhost', '[::ffff:127.0.0.1]')]) {
    const trap = await serve(t, (_, response) => response.writeHead(307, { location }).end());
    const { job } = jobIn(t, {}, `*,${MEDIA_HOSTS}`);
    await assert.rejects(job(trap.url), REFUSED);
    assert.equal(trap.requests.length, 1);
  }
  assert.equal(site.requests.length, 0);
});

test('an answer says nothing of what a name of the inner network resolves to', async (t) => {
  const { job } = jobIn(t, {}, '');
  await assert.rejects(
    job('http://localhost:1/image'),
    ({ message }: Error) => !message.includes('127.0.0.1') && !message.includes('::1'),
  );
});

test('an answer that ends before it began, and one that switches protocols, is a failed connection', async (t) => {
  const early = await serve(t, (_, response) => response.destroy());
  const switching = await serve(t, (_, response) => {
    response.socket?.end(
      'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n',
    );
  });
  for (const { url } of [early, switching]) {
    const request = {
      headers: new Headers(),
      signal: AbortSignal.timeout(20_000),
      isNamed: true,
      outbound: DIRECT,
    };
    await assert.rejects(guardedGet(new URL(url), request), { name: 'ConnectionFailed' });
  }
});

test('public is what belongs to the public Internet and to nobody else', () => {
  const special = `0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.127.255.255 127.0.0.1 127.255.0.1 169.254.169.254 172.16.0.1
    172.31.255.255 192.0.0.1 192.0.2.1 192.88.99.1 192.168.127.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1
    224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
    :: ::1 ::7f00:1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:a00:1 0:0:0:0:0:ffff:7f00:1 64:ff9b::10.0.0.1
    64:ff9b::a9fe:a9fe 64:ff9b:1::1 100::1 2001::1 2001:1ff:ffff::1 2001:db8::1 2002:7f00:1:: 3fff::1 3fff:fff::1 5f00::1
    fc00::1 fdff:ffff::1 fe80::1 fe80::1%lo febf::1 fec0::1 ff02::1 ffff::1 2606:4700::1%eth0`;
  for (const address of special.split(/\s+/))
    assert.equal(isPublicAddress(address), false, address);
  const open = `1.1.1.1 9.255.255.255 11.0.0.1 100.63.255.255 100.128.0.1 126.1.2.3 128.0.0.1 169.253.0.1 172.15.0.1
    172.32.0.1 192.0.1.1 192.167.1.1 198.17.0.1 198.20.0.1 223.255.255.255
    2000::1 2001:200::1 2001:4860:4860::8888 2001:db7::1 2003::1 2606:4700::1111 3ffe::1 3fff:1000::1 64:ff9b::101:101`;
  for (const address of open.split(/\s+/)) assert.equal(isPublicAddress(address), true, address);
  for (const text of ['', 'localhost', '127.1', '1.1.1', '1.1.1.1/8', '2606::1::1']) {
    assert.equal(isPublicAddress(text), false, text);
  }
  assert.ok(isSameAddress('2606:4700:0:0::1', '2606:4700::0001'));
  assert.ok(!isSameAddress('2606:4700::1', '2606:4700::2'));
  assert.ok(!isSameAddress('fe80::1%a', 'fe80::1%b'));
});
