// What users of disks rely on: the image is shared and never changed, what a guest wrote is kept, and an
// image that could show a guest files of the host is refused. QEMU's own tool reads what we write.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { loadConfig } from '../../src/config.ts';
import { createHost } from '../../src/workers/pool.ts';
import { silentLog } from '../engine/fakes.ts';
import { requireCapability } from '../helpers/capabilities.ts';

function place(t: TestContext) {
  const home = mkdtempSync(join(tmpdir(), 'volant-disks-'));
  const host = createHost(loadConfig({ VOLANT_HOME: home }), silentLog);
  t.after(async () => {
    await host.close();
    rmSync(home, { recursive: true });
  });
  const image = (name: string, sizeBytes: number, content = '') => {
    const path = join(home, name);
    writeFileSync(path, content);
    truncateSync(path, sizeBytes);
    return path;
  };
  return { host, home, image };
}

const qemuImg = (...args: string[]) => execFileSync('qemu-img', args, { encoding: 'utf8' });
const disk = (path: string, more: object = {}) =>
  ({ name: 'data', path, format: 'raw', readonly: false, ...more }) as const;

test('an overlay has the size and the content of its image, and is right by QEMU’s own check', async (t) => {
  if (!requireCapability(t, 'qemu-img')) return;
  const { host, home, image } = place(t);
  for (const [name, size] of [
    ['small', 1000],
    ['middle', 600 * 2 ** 20],
    ['large', 3 * 2 ** 40],
  ] as const) {
    const base = image(name, size, `content of ${name}`);
    const [made] = await host.provideDisks(size, [disk(base)]);
    assert.equal(made?.format, 'qcow2');
    qemuImg('check', made?.path ?? '');
    const info = JSON.parse(qemuImg('info', '--output=json', made?.path ?? ''));
    assert.equal(info['virtual-size'], Math.ceil(size / 512) * 512);
    assert.equal(info['backing-filename-format'], 'raw');
    assert.equal(info['full-backing-filename'], base);
    assert.ok(info['actual-size'] < 2 ** 20);
    const copy = join(home, 'copy');
    if (name === 'small') {
      qemuImg('convert', '-O', 'raw', made?.path ?? '', copy);
      assert.match(
        execFileSync('head', ['-c', '16', copy], { encoding: 'utf8' }),
        /content of small/,
      );
    }
  }
});

test('what a guest wrote is kept, and the image is as it was', async (t) => {
  if (!requireCapability(t, 'qemu-img')) return;
  const { host, home, image } = place(t);
  const base = image('base', 2 ** 20, 'of the image');
  const [first] = await host.provideDisks(1, [disk(base)]);
  execFileSync('qemu-io', ['-c', 'write -P 0x41 0 512', first?.path ?? '']);
  const [again] = await host.provideDisks(1, [disk(base)]);
  assert.equal(again?.path, first?.path);
  qemuImg('convert', '-O', 'raw', again?.path ?? '', join(home, 'seen'));
  const startOf = (path: string) => execFileSync('head', ['-c', '12', path], { encoding: 'utf8' });
  assert.equal(startOf(join(home, 'seen')), 'A'.repeat(12));
  assert.equal(startOf(base), 'of the image');
  const [other] = await host.provideDisks(2, [disk(base)]);
  qemuImg('convert', '-O', 'raw', other?.path ?? '', join(home, 'other'));
  assert.equal(startOf(join(home, 'other')), 'of the image');
});

test('an image that has changed since is refused: the changes of the guest would not fit it', async (t) => {
  const { host, image } = place(t);
  const base = image('base', 2 ** 20);
  await host.provideDisks(1, [disk(base)]);
  image('base', 2 ** 20 + 512);
  await assert.rejects(host.provideDisks(1, [disk(base)]), { code: 'MEDIA_INVALID' });
  await host.removeDisks(1);
  await host.provideDisks(1, [disk(base)]);
});

test('a read-only disk is the image itself', async (t) => {
  const { host, image } = place(t);
  const base = image('base', 2 ** 20);
  const disks = await host.provideDisks(1, [disk(base, { readonly: true })]);
  assert.deepEqual(disks, [{ path: base, format: 'raw' }]);
});

test('a qcow2 image that names other files, and one of another format, are refused', async (t) => {
  if (!requireCapability(t, 'qemu-img')) return;
  const { host, home, image } = place(t);
  const secret = image('secret', 2 ** 20);
  const trap = join(home, 'trap.qcow2');
  qemuImg('create', '-q', '-f', 'qcow2', '-b', secret, '-F', 'raw', trap);
  const external = join(home, 'external.qcow2');
  qemuImg('create', '-q', '-f', 'qcow2', '-o', `data_file=${join(home, 'd')}`, external, '1M');
  for (const path of [trap, external]) {
    const image = disk(path, { format: 'qcow2' });
    await assert.rejects(host.provideDisks(1, [image]), { code: 'MEDIA_INVALID' }, path);
  }
  await assert.rejects(host.provideDisks(1, [disk(trap)]), { code: 'MEDIA_INVALID' });
  await assert.rejects(host.provideDisks(1, [disk(secret, { format: 'qcow2' })]), {
    code: 'MEDIA_INVALID',
  });
});
