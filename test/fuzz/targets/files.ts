// fuzz: what files say: images, documents of cloud-init, the file of keys, settings.

import { ConfigError, loadConfig } from '../../../src/config.ts';
import { seedFiles } from '../../../src/engine/media/cloud-init.ts';
import {
  initramfsProblem,
  kernelProblem,
} from '../../../src/host/jobs/media/formats/boot-files.ts';
import { rawProblem } from '../../../src/host/jobs/media/formats/file-systems.ts';
import { unusableKind } from '../../../src/host/jobs/media/formats/image-kinds.ts';
import {
  emptyOverlay,
  IMAGE_BYTES_MAX,
  readQcow2,
} from '../../../src/host/jobs/media/formats/qcow2.ts';
import { isQcow2Cut } from '../../../src/host/jobs/media/formats/qcow2-tables.ts';
import { VolantError } from '../../../src/lib/errors.ts';
import { parseKeys, parseUses, renderKeys, renderUses } from '../../../src/lib/files/key-file.ts';
import { allowing, type FuzzTarget, hold, InputReader } from '../target.ts';

/** Tables must be in the file. */
const FILE_BYTES = 4 * 1024 ** 2;

const qcow2: FuzzTarget = {
  name: 'qcow2',
  bytesMax: 1024,
  tokens: ['QFI\xfb', '\0\0\0\x02', '\0\0\0\x03', '\0\0\0\x10', '\0\0\0\0\0\x01\0\0'],
  run(input) {
    const facts = readQcow2(input, FILE_BYTES);
    if (facts !== null && facts.problem === null) {
      hold(facts.virtualSizeBytes >= 1, 'a disk has a size');
      hold(facts.virtualSizeBytes <= IMAGE_BYTES_MAX, 'a disk is no larger than it may be');
      const bits = input.readUInt32BE(20);
      hold(bits >= 9 && bits <= 21, 'clusters are of a size that QEMU knows');
      const tables = facts.virtualSizeBytes / 2 ** (2 * bits - 3);
      hold(input.readUInt32BE(36) >= tables, 'the whole disk has tables');
      hold(input.readBigUInt64BE(40) < FILE_BYTES, 'the tables are in the file');
    }
    const reader = new InputReader(input);
    const sizeBytes = reader.number() * 2 ** (reader.byte() % 30);
    const isTooLarge = (error: unknown) => error instanceof RangeError;
    const overlay = allowing(isTooLarge, () =>
      emptyOverlay(reader.rest().toString('latin1'), 'raw', sizeBytes),
    );
    if (overlay === undefined) return;
    const read = readQcow2(overlay, overlay.length);
    hold(read?.virtualSizeBytes === sizeBytes, 'an overlay says the size that it was given');
    hold(read.problem !== null, 'an overlay is no image by itself');
  },
};

const imageFiles: FuzzTarget = {
  name: 'image-files',
  bytesMax: 4608,
  tokens: [
    'EFI PART',
    'XFSB',
    'hsqs',
    'HdrS',
    '\x7fELF',
    '070701',
    '\x1f\x8b\x08',
    'ustar',
    '\x55\xaa',
  ],
  run(input) {
    const texts = [
      unusableKind(input, input.subarray(-512), true),
      rawProblem(input, input.length, null),
      rawProblem(input, input.length, 'ext4'),
      kernelProblem(input),
      initramfsProblem(input),
    ];
    for (const text of texts) hold(text !== '', 'what is wrong is said');
    const facts = readQcow2(input, input.length);
    if (facts === null || facts.problem !== null) return;
    isQcow2Cut(input, input.length, (at, lengthBytes) => {
      hold(at + lengthBytes <= input.length, 'nothing is read behind the end of the file');
      return input.subarray(at, at + lengthBytes);
    });
  },
};

const VM = { id: 7, name: 'web' };

/** What was given is still there: added are only the keys that are missing. */
function checkMetaData(given: string, made: string): void {
  const json = allowing(
    (error) => error instanceof SyntaxError,
    () => JSON.parse(given),
  );
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    hold(/\binstance-id\b/.test(made), 'a guest gets an instance-id');
    const kept = given.replace(/(^|\n)\.\.\.\s*$/, '$1');
    hold(made === given || made.startsWith(kept), 'what was given is kept');
    return;
  }
  const result = JSON.parse(made) as Record<string, unknown>;
  hold(Object.hasOwn(result, 'instance-id'), 'a guest gets an instance-id');
  hold(Object.hasOwn(result, 'local-hostname'), 'a guest gets a name');
  for (const [key, value] of Object.entries(json)) {
    hold(JSON.stringify(result[key]) === JSON.stringify(value), `${key} is kept`);
  }
}

const cloudInit: FuzzTarget = {
  name: 'cloud-init',
  bytesMax: 65536,
  isJson: true,
  tokens: [
    'instance-id: ',
    '"instance-id": ',
    'local-hostname: ',
    '\n',
    '---\n',
    '...',
    '- ',
    '  ',
    '# ',
    ': |\n',
    '{',
    '}',
    '\r\n',
  ],
  run(input) {
    const isRefused = (error: unknown) =>
      error instanceof VolantError && error.code === 'MEDIA_INVALID';
    const given = input.toString();
    const files = allowing(isRefused, () =>
      seedFiles({ user_data: null, meta_data: given, network_config: null }, VM),
    );
    const made = files?.get('meta-data');
    if (made !== undefined) checkMetaData(given, made.toString());
  },
};

const keyFile: FuzzTarget = {
  name: 'key-file',
  bytesMax: 8192,
  isJson: true,
  tokens: ['"version": 1', '"keys": [', '"scope": "read"', '"prefix": ', '"expires_at": ', 'null'],
  run(input) {
    const text = input.toString();
    const isSentence = (error: unknown) =>
      error instanceof Error && /^(it|keys\[|two)/.test(error.message);
    const keys = allowing(isSentence, () => parseKeys(text));
    if (keys !== undefined) {
      const again = parseKeys(renderKeys(keys));
      hold(JSON.stringify(again) === JSON.stringify(keys), 'keys that are written are read again');
    }
    const uses = parseUses(text);
    const again = parseUses(renderUses(uses));
    hold(JSON.stringify(again) === JSON.stringify(uses), 'uses that are written are read again');
  },
};

const settings: FuzzTarget = {
  name: 'settings',
  bytesMax: 4096,
  tokens: [
    'VOLANT_API_LISTEN=',
    'VOLANT_SUBNET=',
    'VOLANT_HOST_IP=',
    'VOLANT_UID_BASE=',
    'VOLANT_VFIO_ALLOW=',
    'VOLANT_API_ALLOW_CIDR=',
    'VOLANT_DNS=',
    'VOLANT_RUNTIME_DIR=',
    'VOLANT_HYPERVISOR=',
    'unix:/',
    '[::1]:1',
    '0.0.0.0/0',
    ',',
    '\n',
  ],
  run(input) {
    const pairs = input
      .toString()
      .split('\n')
      .map((line) => [line.split('=', 1)[0], line.slice(line.indexOf('=') + 1)]);
    const config = allowing(
      (error) =>
        error instanceof ConfigError &&
        error.problems.every((problem) => /^(VOLANT_[A-Z_]+|HTTPS?_PROXY): /.test(problem)),
      () => loadConfig(Object.fromEntries(pairs)),
    );
    if (config === undefined) return;
    hold(
      Number.isInteger(config.subnet.base) && config.subnet.prefixLength <= 30,
      'a network has addresses',
    );
    for (const value of Object.values(config)) hold(!Number.isNaN(value), 'a setting is no NaN');
  },
};

export const fileTargets = [qcow2, imageFiles, cloudInit, keyFile, settings];
