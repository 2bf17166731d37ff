// http, access: reads and checks the server's certificate before the server gets it. The server's library cannot replace a
// certificate, so a new certificate needs a new app: see listener.ts.

import { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { Config } from '../../config.ts';
import { fileProblem, readPrivateFile, type Secrecy } from '../../lib/files/private-file.ts';
import { App, SSLApp, type TemplatedApp } from '../uws.ts';

type TlsFiles = NonNullable<Config['tls']>;

/** Facts about the certificate, for the description of the daemon. */
export interface TlsFacts {
  readonly subject: string;
  /** RFC 3339. */
  readonly not_after: string;
  readonly problem?: string;
}

/** A certificate chain has a few kilobytes. */
const PEM_BYTES_MAX = 256 * 1024;

/** Rejects with a sentence that names the file and what is wrong with it. */
export async function checkTls(files: TlsFiles): Promise<TlsFacts> {
  const cert = await readPem('VOLANT_TLS_CERT', files.certificate, 'public');
  const key = await readPem('VOLANT_TLS_KEY', files.key, 'group');
  const certificate = attempt(
    'VOLANT_TLS_CERT',
    files.certificate,
    () => new X509Certificate(cert),
  );
  attempt('VOLANT_TLS_CERT', files.certificate, () => createSecureContext({ cert }));
  attempt('VOLANT_TLS_KEY', files.key, () => createSecureContext({ cert, key }));
  const subject = certificate.subject.replaceAll('\n', ', ');
  return { subject, not_after: new Date(certificate.validTo).toISOString() };
}

/** Throws if the files changed since they were checked and no longer work. */
export function makeApp(tls: TlsFiles | null): TemplatedApp {
  if (tls === null) return App();
  return SSLApp({ cert_file_name: tls.certificate, key_file_name: tls.key });
}

async function readPem(setting: string, path: string, secrecy: Secrecy): Promise<string> {
  try {
    return (await readPrivateFile(path, PEM_BYTES_MAX, secrecy)).text;
  } catch (error) {
    throw new Error(`${setting}: ${fileProblem(path, error)}`, { cause: error });
  }
}

/** OpenSSL's reasons are short and contain nothing of the file. */
function attempt<T>(setting: string, path: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    const { reason, message } = error as Error & { readonly reason?: string };
    throw new Error(`${setting}: ${path} cannot be used: ${reason ?? message}`, { cause: error });
  }
}
