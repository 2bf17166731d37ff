// What whoever names an image in a manifest relies on: the right one of an index is taken, its digest is what it is kept by,
// what is no image or does not match is refused by name, and nothing of a failed pull stays.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { listImages, removeImage } from '../../../../src/host/jobs/images/image-cache.ts';
import { trimCache } from '../../../../src/host/jobs/media/cache.ts';
import { requireCapability } from '../../../helpers/capabilities.ts';
import { directory, type ImageSpec, tar } from './image-maker.ts';
import { failureOf, workshop } from './workshop.ts';

const LAYER = { tar: tar(directory('bin/'), { path: 'bin/x', content: 'x' }) };

const needed = (t: TestContext) => requireCapability(t, 'root', 'mke2fs', 'skopeo');

suite('an image', () => {
  test('is kept by the digest of its manifest, and known by its names without a registry', async (t) => {
    if (!needed(t)) return;
    const { provide, layout, settings, progress } = workshop(t);
    const config = {
      Entrypoint: ['/bin/x'],
      Cmd: null,
      Env: ['A=1', 'B=x=y', 'ALONE'],
      User: '1000:1000',
      WorkingDir: 'srv/../app',
      ExposedPorts: { '443/tcp': {}, '80/tcp': {}, '53/udp': {} },
      StopSignal: 'SIGRTMIN+3',
      Labels: { a: 'b' },
      Volumes: { '/data': {} },
    };
    const others = ['linux/arm64/v8', 'windows/amd64', 'unknown/unknown', 'linux/amd64/v3'];
    const made = layout({ layers: [LAYER], config, isIndex: true, others });
    const image = await provide(made.reference);
    assert.equal(image.digest, made.digest);
    assert.deepEqual(image.settings, {
      entrypoint: ['/bin/x'],
      command: [],
      env: { A: '1', B: 'x=y' },
      user: '1000:1000',
      workdir: '/app',
      exposed_ports: [
        { port: 53, protocol: 'udp' },
        { port: 80, protocol: 'tcp' },
        { port: 443, protocol: 'tcp' },
      ],
      volumes: ['/data'],
      labels: { a: 'b' },
      stop_signal: 'SIGRTMIN+3',
    });
    assert.ok(progress.length > 0);
    const before = statSync(image.realPath);
    const again = await provide(made.reference, { refresh: true });
    assert.equal(again.realPath, image.realPath);
    assert.equal(statSync(image.realPath).ino, before.ino, 'it is not built a second time');
    // Both digests name it: that of the index, and that of the manifest in it.
    for (const digest of [made.digest, made.index])
      await provide(made.reference, { digest, refresh: true });
    const other = `sha256:${'0'.repeat(64)}`;
    assert.equal(
      (await failureOf(provide(made.reference, { digest: other }))).code,
      'MEDIA_CHECKSUM_MISMATCH',
    );
    const [listed, ...more] = listImages({ settings });
    assert.equal(more.length, 0);
    const byDigest = [made.digest, made.index].map((digest) => `${made.reference}@${digest}`);
    assert.deepEqual(listed?.names, [made.reference, ...byDigest].sort());
    assert.equal(listed?.isInUse, false);
    assert.deepEqual(readdirSync(join(settings.cacheDirectory, 'builds')), []);
  });

  test('may be an archive of docker save or of OCI, below the allowed directories only', async (t) => {
    if (!needed(t)) return;
    const { provide, layout, images, home } = workshop(t);
    const made = layout({ layers: [LAYER], config: { Cmd: ['/bin/x'] } });
    const copy = (to: string) =>
      execFileSync('skopeo', [
        '--insecure-policy',
        'copy',
        '-q',
        '--dest-oci-accept-uncompressed-layers',
        made.reference,
        to,
      ]);
    copy(`docker-archive:${join(images, 'saved.tar')}:name/of:it`);
    copy(`oci-archive:${join(images, 'oci.tar')}`);
    const saved = await provide(`docker-archive:${join(images, 'saved.tar')}`);
    assert.deepEqual(saved.settings.command, ['/bin/x']);
    assert.equal((await provide(`oci-archive:${join(images, 'oci.tar')}`)).digest, made.digest);
    copy(`oci-archive:${join(home, 'outside.tar')}`);
    symlinkSync(join(home, 'outside.tar'), join(images, 'inside.tar'));
    for (const path of [join(home, 'outside.tar'), join(images, 'inside.tar'), '/nonexistent']) {
      assert.equal((await failureOf(provide(`oci-archive:${path}`))).code, 'MEDIA_NOT_ALLOWED');
    }
    const wrong = await failureOf(provide(`oci-archive:${join(images, 'gone.tar')}`));
    assert.deepEqual([wrong.code, /does not exist/.test(wrong.message)], ['MEDIA_INVALID', true]);
  });

  test('is refused by name where it is none that a VM can run', async (t) => {
    if (!needed(t)) return;
    const { provide, layout, settings } = workshop(t);
    let count = 0;
    const refusal = async (spec: Partial<ImageSpec>) => {
      count += 1;
      const { reference } = layout({ layers: [LAYER], ...spec }, `image-${count}`);
      const { code, message } = await failureOf(provide(reference));
      assert.equal(code, 'MEDIA_INVALID', message);
      return message;
    };
    const config = (more: object) => ({ config: more });
    assert.match(await refusal({ architecture: 'arm64' }), /is made for linux\/arm64/);
    assert.match(
      await refusal({ architecture: 'arm64', isIndex: true }),
      /not made for linux\/amd64, but for linux\/arm64/,
    );
    assert.match(await refusal(config({ StopSignal: 'SIGNONE' })), /stop signal "SIGNONE"/);
    assert.match(await refusal(config({ ExposedPorts: { 'many/tcp': {} } })), /no port/);
    assert.match(
      await refusal(config({ Env: Array.from({ length: 600 }, (_, i) => `A${i}=1`) })),
      /512 variables/,
    );
    assert.match(await refusal(config({ Cmd: 'text' })), /Cmd is no list/);
    assert.match(
      await refusal({
        change: (document, what) => {
          if (what === 'config') document['rootfs'] = { diff_ids: [] };
        },
      }),
      /other layers in its config/,
    );
    assert.match(
      await refusal({ layers: [{ tar: tar({ path: '../x', content: '' }) }] }),
      /layer \(1\) that has the entry "\.\.\/x"/,
    );
    const foreign = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip';
    assert.match(await refusal({ layers: [{ ...LAYER, mediaType: foreign }] }), /foreign/);
    assert.match(
      await refusal({
        layers: [LAYER],
        change: (document, what) => {
          if (what === 'config') document['rootfs'] = { diff_ids: [`sha256:${'1'.repeat(64)}`] };
        },
      }),
      /another content than the config/,
    );
    assert.deepEqual(listImages({ settings }), []);
    assert.deepEqual(readdirSync(join(settings.cacheDirectory, 'builds')), []);
  });

  test('of schema 1 is refused by name, and so are bounds that it exceeds', async (t) => {
    if (!needed(t)) return;
    const { provide, layout } = workshop(t);
    const old = layout(
      {
        layers: [LAYER],
        change: (document, what) =>
          what === 'manifest' && Object.assign(document, { schemaVersion: 1 }),
      },
      'old',
    );
    assert.match((await failureOf(provide(old.reference))).message, /schema 1/);
    const made = layout({ layers: [LAYER] });
    const large = await failureOf(provide(made.reference, { limits: { imageBytesMax: 100 } }));
    assert.match(large.message, /more than 100 bytes/);
    const bomb = await failureOf(provide(made.reference, { limits: { imageUnpackedBytesMax: 0 } }));
    assert.equal(bomb.code, 'MEDIA_INVALID');
    const full = await failureOf(
      provide(made.reference, { limits: { diskReserveBytes: 2 ** 60 } }),
    );
    assert.equal(full.code, 'DISK_SPACE_LOW');
    const late = await failureOf(provide(made.reference, { limits: { imageTimeoutMs: 1 } }));
    assert.match(late.message, /takes longer than 1 ms/);
  });

  test('is trimmed like other images, and removed when nothing is made of it', async (t) => {
    if (!needed(t)) return;
    const { provide, layout, settings } = workshop(t);
    const made = layout({ layers: [LAYER] });
    const { realPath } = await provide(made.reference);
    const name = realPath.slice(realPath.lastIndexOf('/') + 1);
    assert.ok(
      statSync(realPath).size > 8 * 2 ** 30 && statSync(realPath).blocks * 512 < 64 * 2 ** 20,
    );
    const busy = () => removeImage({ settings, digest: made.digest, pinned: [name] });
    assert.throws(busy, /VMs are made of/);
    assert.equal(
      trimCache({ settings: { ...settings, cacheBytesMax: 0 }, pinned: [], freeBytes: 0 }),
      0,
      'it was used a moment ago',
    );
    removeImage({ settings, digest: made.digest, pinned: [] });
    assert.equal(existsSync(realPath), false);
    assert.deepEqual(listImages({ settings }), []);
    assert.throws(() => removeImage({ settings, digest: made.digest, pinned: [] }), /no image/);
    // A blob that was damaged since is found, and fetched again.
    const [blob = ''] = made.blobs;
    appendFileSync(join(settings.cacheDirectory, 'blobs/sha256', blob), 'x');
    assert.match((await failureOf(provide(made.reference))).message, /damaged/);
    await provide(made.reference);
    assert.ok(readFileSync(`${realPath}.json`).length > 0);
  });
});
