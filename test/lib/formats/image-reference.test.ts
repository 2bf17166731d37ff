// What whoever names an image relies on: names mean what they mean in other programs, and everything else is refused with a
// sentence.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withoutSecrets } from '../../../src/lib/formats/image-location.ts';
import {
  formatImageReference,
  parseImageReference,
} from '../../../src/lib/formats/image-reference.ts';
import { signalNumber } from '../../../src/lib/formats/signals.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;

const complete = (text: string) => {
  const reference = parseImageReference(text);
  if (typeof reference === 'string') throw new Error(`${text} ${reference}`);
  const again = formatImageReference(reference);
  assert.deepEqual(parseImageReference(again), reference, 'it means the same once more');
  return again;
};

test('names are completed as in other programs', () => {
  assert.equal(complete('nginx'), 'docker.io/library/nginx:latest');
  assert.equal(complete('nginx:1.27'), 'docker.io/library/nginx:1.27');
  assert.equal(complete('team/app:2'), 'docker.io/team/app:2');
  assert.equal(complete('index.docker.io/nginx'), 'docker.io/library/nginx:latest');
  assert.equal(complete('localhost/app'), 'localhost/app:latest');
  assert.equal(complete('localhost:5000/app'), 'localhost:5000/app:latest');
  assert.equal(
    complete('Registry.Example.org:5000/a/b/c:v1'),
    'registry.example.org:5000/a/b/c:v1',
  );
  assert.equal(complete(`app:2@${DIGEST}`), `docker.io/library/app@${DIGEST}`);
  assert.equal(complete('[::1]:5000/app:1'), '[::1]:5000/app:1');
  for (const text of [
    'oci:/srv/layout',
    'oci-archive:/srv/a.tar:name:1',
    'docker-archive:/srv/b.tar',
  ]) {
    assert.equal(complete(text), text);
  }
});

test('what is no name is refused, and so is what could mean an option or another place', () => {
  const wrong = [
    '',
    ' nginx',
    'Nginx',
    'nginx:',
    'a//b',
    '/absolute',
    'https://registry.example.org/app',
    `nginx@sha256:${'A'.repeat(64)}`,
    'nginx@md5:00',
    `nginx@${DIGEST}@${DIGEST}`,
    '-flag',
    'a b',
    'host name:5000/app',
    'oci:relative',
    'oci:/a/../b',
    'oci:/a\nb',
    'docker-archive:/a:-x',
    'a'.repeat(5_000),
    `${'a'.repeat(256)}`,
  ];
  for (const text of wrong)
    assert.equal(typeof parseImageReference(text), 'string', text.slice(0, 50));
});

test('a name of an image is shown as it is, a URL without its secrets', () => {
  assert.equal(withoutSecrets('nginx:1.27'), 'nginx:1.27');
  assert.equal(withoutSecrets('oci:/srv/a'), 'oci:/srv/a');
  assert.equal(withoutSecrets('https://u:p@example.org/a?b=c'), 'https://example.org/a?…');
});

test('signals have names, with and without SIG, and numbers', () => {
  const numbers = ['SIGTERM', 'term', '15', 'SIGQUIT', 'SIGRTMIN+3', 'RTMAX-1', 'SIGRTMIN'].map(
    signalNumber,
  );
  assert.deepEqual(numbers, [15, 15, 15, 3, 37, 63, 34]);
  for (const text of ['', '0', '65', 'SIGNONE', 'SIGRTMIN+31', 'constructor', '__proto__']) {
    assert.equal(signalNumber(text), null, text);
  }
});
