// test helpers: certificates of an authority of their own, made with openssl.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

export interface MadeCertificate {
  readonly certificate: string;
  readonly key: string;
  /** PEM. */
  readonly ca: string;
}

/** Makes a certificate for 127.0.0.1 and localhost with its own authority; its subject is `name`. */
export function makeCertificate(directory: string, name: string): MadeCertificate {
  const [certificate, key] = [`${directory}/${name}.crt`, `${directory}/${name}.key`];
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
      ...['-days', '2', '-keyout', key, '-out', certificate, '-subj', `/CN=${name}`],
      ...['-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost'],
    ],
    { stdio: 'pipe' },
  );
  return { certificate, key, ca: readFileSync(certificate, 'utf8') };
}
