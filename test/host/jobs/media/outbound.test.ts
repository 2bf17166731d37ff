// What operators behind proxies and with authorities of their own rely on: images come the way that was set up, and what
// cannot succeed is reported at once, in words of this program.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request as httpRequest, type IncomingMessage } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, type Server } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { LIMITS } from '../../../../src/config/limits.ts';
import { ConfigError, loadConfig } from '../../../../src/config.ts';
import { proxyFor } from '../../../../src/lib/net/proxy.ts';
import { requireCapability } from '../../../helpers/capabilities.ts';
import { makeCertificate } from '../../../helpers/certificates.ts';
import { jobIn, MEDIA_HOSTS, serve } from './image-site.ts';

const IMAGE = randomBytes(100_000);
/** Begins as none of the ways to pack something. */
const WRONG = Buffer.alloc(100_000, 0xff);
/** Ports that browsers do not connect to, and fetch() of Node neither. */
const BROWSERS_REFUSE = [10080, 6697, 6669, 5061, 4190];
/** A name that nobody has (RFC 6761): proxies are asked for it. */
const OUTSIDE = 'images.invalid';

/** Listens on loopback until the end of the test. */
async function listening(t: TestContext, server: Server, port = 0): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** The same on the first of these ports that no other program has. */
async function listeningOnOne(t: TestContext, server: Server, ports: readonly number[]) {
  for (const port of ports) {
    try {
      return await listening(t, server, port);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    }
  }
  throw new Error(`every one of the ports ${ports.join(' ')} is in use`);
}

async function secureSite(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'volant-outbound-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const { certificate, key } = makeCertificate(directory, 'images');
  const options = { cert: readFileSync(certificate), key: readFileSync(key) };
  const server = createTlsServer(options, (_, response) =>
    response.writeHead(200, { 'content-length': IMAGE.length }).end(IMAGE),
  );
  let connections = 0;
  server.on('connection', () => {
    connections += 1;
  });
  t.after(() => server.closeAllConnections());
  const port = await listening(t, server);
  return { directory, certificate, port, connections: () => connections };
}

/** A proxy that leads every name to loopback, and stores what it was asked. */
async function proxySite(t: TestContext, refusal?: number) {
  const asked: IncomingMessage[] = [];
  const proxy = createServer((request, response) => {
    asked.push(request);
    if (refusal !== undefined) {
      response.writeHead(refusal).end();
      return;
    }
    const { port, pathname } = new URL(request.url ?? '');
    const onward = httpRequest({ host: '127.0.0.1', port, path: pathname }, (answer) => {
      response.writeHead(answer.statusCode ?? 0, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    onward.end();
  });
  proxy.on('connect', (request, socket) => {
    asked.push(request);
    if (refusal !== undefined) {
      socket.end(`HTTP/1.1 ${refusal} No\r\n\r\n`);
      return;
    }
    const onward = connect(Number(request.url?.split(':').at(-1)), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      onward.pipe(socket).pipe(onward);
    });
    for (const end of [onward, socket]) {
      end
        .on('error', () => undefined)
        .on('close', () => [onward, socket].map((one) => one.destroy()));
    }
  });
  t.after(() => proxy.closeAllConnections());
  return { port: await listening(t, proxy), asked };
}

suite('what cannot succeed', () => {
  const isPlain = (message: string) => !/openssl|\.c:\d|routines|[0-9A-F]{8}:error/i.test(message);

  test('a certificate that nobody trusts is reported at once, with the setting that would make it trusted', async (t) => {
    if (!requireCapability(t, 'openssl')) return;
    const { port, connections } = await secureSite(t);
    const { job } = jobIn(t, { mediaRetryPauseMs: 60_000 });
    await assert.rejects(job(`https://127.0.0.1:${port}/x`), {
      code: 'MEDIA_DOWNLOAD_FAILED',
      message: /not signed by a trusted authority; VOLANT_CA_FILE/,
    });
    assert.equal(connections(), 1);
  });

  test('a port that speaks another protocol is reported at once, without lines of sources', async (t) => {
    const site = await serve(t, (_, response) => response.end('x'));
    const { job } = jobIn(t, { mediaRetryPauseMs: 60_000 });
    await assert.rejects(job(site.url.replace('http:', 'https:')), (error: Error) => {
      assert.match(error.message, /does not speak TLS/);
      return isPlain(error.message);
    });
  });

  test('what is packed wrongly, or in a way that is not known, is asked for once', async (t) => {
    for (const coding of ['gzip', 'br', 'zstd', 'gzip, gzip, gzip, gzip, gzip, gzip']) {
      const { job } = jobIn(t, { mediaRetryPauseMs: 60_000 });
      const site = await serve(t, (_, response) => {
        response.writeHead(200, { 'content-encoding': coding, 'content-length': WRONG.length });
        response.end(WRONG);
      });
      await assert.rejects(job(site.url), {
        code: 'MEDIA_DOWNLOAD_FAILED',
        message: /decompressed|content encoding/,
      });
      assert.equal(site.requests.length, 1, coding);
    }
  });

  test('a server that is not there yet is asked again', async (t) => {
    const { job } = jobIn(t);
    const site = await serve(t, (_, response, count) => {
      if (count < LIMITS.mediaAttemptsMax) response.destroy();
      else response.writeHead(200, { 'content-length': IMAGE.length }).end(IMAGE);
    });
    await job(site.url);
    assert.equal(site.requests.length, LIMITS.mediaAttemptsMax);
  });

  test('a port that browsers do not ask is one like others', async (t) => {
    const server = createServer((_, response) =>
      response.writeHead(200, { 'content-length': IMAGE.length }).end(IMAGE),
    );
    const port = await listeningOnOne(t, server, BROWSERS_REFUSE);
    const { job } = jobIn(t);
    assert.deepEqual(readFileSync((await job(`http://127.0.0.1:${port}/x`)).realPath), IMAGE);
  });
});

suite('an authority of the operator', () => {
  test('signs for servers of images, beside those that are known', async (t) => {
    if (!requireCapability(t, 'openssl')) return;
    const { port, certificate } = await secureSite(t);
    const { job } = jobIn(t, {}, MEDIA_HOSTS, { VOLANT_CA_FILE: certificate });
    assert.deepEqual(readFileSync((await job(`https://127.0.0.1:${port}/x`)).realPath), IMAGE);
  });

  test('whose file is missing or has none is reported by its name', async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'volant-ca-'));
    t.after(() => rmSync(directory, { recursive: true }));
    const file = join(directory, 'ca.pem');
    for (const message of [/ca.pem of VOLANT_CA_FILE cannot be read/, /has no certificate/]) {
      const { job } = jobIn(t, {}, MEDIA_HOSTS, { VOLANT_CA_FILE: file });
      await assert.rejects(job('https://127.0.0.1:1/x'), { message });
      writeFileSync(file, 'no PEM');
    }
  });
});

suite('proxies', () => {
  test('carry a plain download, with their password and without that of nobody else', async (t) => {
    const site = await serve(t, (_, response) =>
      response.writeHead(200, { 'content-length': IMAGE.length }).end(IMAGE),
    );
    const proxy = await proxySite(t);
    const HTTP_PROXY = `http://me:a%20b@127.0.0.1:${proxy.port}`;
    const { job } = jobIn(t, {}, OUTSIDE, { HTTP_PROXY });
    const url = site.url.replace('127.0.0.1', OUTSIDE);
    assert.deepEqual(readFileSync((await job(url)).realPath), IMAGE);
    const [asked] = proxy.asked;
    assert.equal(asked?.url, url);
    assert.equal(asked?.headers.host, new URL(url).host);
    const basic = `Basic ${Buffer.from('me:a b').toString('base64')}`;
    assert.equal(asked?.headers['proxy-authorization'], basic);
    assert.equal(site.requests[0]?.headers['proxy-authorization'], undefined);
  });

  test('are a tunnel for TLS, and see the name of the host only', async (t) => {
    if (!requireCapability(t, 'openssl')) return;
    const { port, certificate } = await secureSite(t);
    const proxy = await proxySite(t);
    const settings = { VOLANT_CA_FILE: certificate, https_proxy: `127.0.0.1:${proxy.port}` };
    // The certificate is for localhost: the name that is asked for is the one that is checked.
    const { job } = jobIn(t, {}, '*', settings);
    await assert.rejects(job(`https://nowhere.invalid:${port}/x`), {
      message: /its certificate is for other names/,
    });
    assert.equal(proxy.asked[0]?.method, 'CONNECT');
    assert.equal(proxy.asked[0]?.url, `nowhere.invalid:${port}`);
    assert.equal(proxy.asked.length, 1, 'it would be the same again');
  });

  test('that refuse are reported as such', async (t) => {
    const proxy = await proxySite(t, 407);
    const HTTPS_PROXY = `http://127.0.0.1:${proxy.port}`;
    const { job } = jobIn(t, {}, OUTSIDE, { HTTPS_PROXY });
    await assert.rejects(job(`https://${OUTSIDE}:1/x`), { message: /the proxy answered 407/ });
  });

  test('are not led to what this host knows to be inside', async (t) => {
    const proxy = await proxySite(t);
    const HTTP_PROXY = `http://127.0.0.1:${proxy.port}`;
    // Not every host knows its own name.
    const isKnown = await lookup(hostname()).then(
      () => true,
      () => false,
    );
    for (const host of ['10.0.0.1', '[::ffff:10.0.0.1]', ...(isKnown ? [hostname()] : [])]) {
      const { job } = jobIn(t, {}, '*', { HTTP_PROXY });
      await assert.rejects(job(`http://${host}:1/x`), { code: 'MEDIA_NOT_ALLOWED' }, host);
    }
    assert.equal(proxy.asked.length, 0);
  });

  test('are asked for what the variables say', () => {
    const outbound = (settings: Record<string, string>) => loadConfig(settings).outbound;
    const of = (settings: Record<string, string>, url: string) =>
      proxyFor(new URL(url), outbound(settings))?.host ?? null;
    const both = { HTTPS_PROXY: 'http://secure:1', HTTP_PROXY: 'plain:2' };
    assert.equal(of(both, 'https://a.org/'), 'secure:1');
    assert.equal(of(both, 'http://a.org/'), 'plain:2');
    assert.equal(of({ ...both, https_proxy: 'http://lower:3' }, 'https://a.org/'), 'lower:3');
    for (const own of ['localhost', '127.0.0.1', '127.9.9.9', '[::1]']) {
      assert.equal(of(both, `http://${own}:80/`), null, own);
    }
    const cases: [string, string, boolean][] = [
      ['*', 'http://a.org/', true],
      ['a.org', 'http://a.org/', true],
      ['a.org', 'http://b.a.org/', true],
      ['a.org', 'http://ba.org/', false],
      ['.a.org', 'http://b.a.org/', true],
      ['.a.org', 'http://a.org/', false],
      ['*.a.org', 'http://b.a.org/', true],
      ['x, A.org:8080', 'http://a.org:8080/', true],
      ['a.org:8080', 'http://a.org/', false],
      ['a.org:443', 'https://a.org/', true],
      ['10.0.0.0/8', 'http://10.1.2.3/', true],
      ['10.0.0.0/8', 'http://11.1.2.3/', false],
      ['10.0.0.0/8', 'http://a.org/', false],
      ['192.0.2.1', 'http://192.0.2.1/', true],
      ['[2001:db8::1]', 'http://[2001:db8::1]/', true],
      ['', 'http://a.org/', false],
    ];
    for (const [NO_PROXY, url, isDirect] of cases) {
      assert.equal(of({ ...both, NO_PROXY }, url) === null, isDirect, `${NO_PROXY} ${url}`);
    }
    assert.throws(
      () => loadConfig({ HTTPS_PROXY: 'socks5://a:1' }),
      (error) =>
        error instanceof ConfigError && error.problems[0] === 'HTTPS_PROXY: use http://host:port',
    );
  });
});
