// jobs, images: the program that talks to registries and reads archives: skopeo. It gets an environment, credentials and a
// list of registries that are made for each run, and nothing of what the host has for other programs.

import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LIMITS } from '../../../config/limits.ts';
import type { RegistrySettings } from '../../../config/registries.ts';
import type { ImageReference } from '../../../lib/formats/image-reference.ts';
import type { Outbound } from '../../../lib/net/proxy.ts';
import { errnoOf, JobFault } from '../fault.ts';
import { runToEnd } from '../run-program.ts';

/** One image, as skopeo is asked for it. */
export class Skopeo {
  readonly #work: string;
  readonly #shown: string;
  readonly #common: readonly string[];
  readonly #environment: Readonly<Record<string, string>>;
  readonly #authFile: string;
  readonly #certificates: string | null;

  /** `work` is a directory of the caller's. `shown` names the image in errors. */
  constructor(work: string, shown: string, registries: RegistrySettings, outbound: Outbound) {
    this.#work = work;
    this.#shown = shown;
    const temporary = join(work, 'tmp');
    mkdirSync(temporary, { mode: 0o700 });
    const list = join(work, 'registries.conf');
    writeFileSync(list, registryList(registries), { mode: 0o600 });
    const none = join(work, 'auth.json');
    writeFileSync(none, '{}', { mode: 0o600 });
    this.#authFile = registries.authFile ?? none;
    this.#certificates = certificatesIn(work, outbound.caFile);
    this.#common = [
      // Whose signature is wanted is not known here. A digest says which image it is.
      '--insecure-policy',
      ...['--registries-conf', list, '--registries.d', temporary, '--tmpdir', temporary],
      ...['--override-os', 'linux', '--override-arch', 'amd64'],
    ];
    this.#environment = { HOME: temporary, TMPDIR: temporary, ...proxyVariables(outbound) };
  }

  /** The manifest or index of an image, as it was sent. */
  async manifest(source: string, signal: AbortSignal): Promise<string> {
    const certificates = this.#certificates === null ? [] : ['--cert-dir', this.#certificates];
    const args = ['inspect', '--raw', '--authfile', this.#authFile, ...certificates];
    return await this.#run(['--retry-times', String(LIMITS.imageTriesMax), source], args, signal);
  }

  /** Copies an image into an OCI layout whose blobs are in `blobs`. Those that are there are not fetched again. */
  async copy(source: string, layout: string, blobs: string, signal: AbortSignal): Promise<void> {
    const certificates = this.#certificates === null ? [] : ['--src-cert-dir', this.#certificates];
    const args = [
      ...['copy', '--quiet', '--retry-times', String(LIMITS.imageTriesMax)],
      // Layers stay as they are, so that they have the digests of the manifest.
      ...['--dest-oci-accept-uncompressed-layers', '--dest-shared-blob-dir', blobs],
      ...['--src-authfile', this.#authFile, ...certificates],
    ];
    await this.#run([source, `oci:${layout}:image`], args, signal);
  }

  async #run(last: readonly string[], args: readonly string[], signal: AbortSignal) {
    const { status, printed, said } = await runToEnd(
      'skopeo',
      [...this.#common, ...args, ...last],
      {
        signal,
        environment: this.#environment,
        outputBytesMax: LIMITS.imageDocumentBytesMax,
      },
    );
    if (status === 0) return printed;
    if (status === 127) {
      const why = 'Container images need the packages skopeo and e2fsprogs: install skopeo';
      throw new JobFault('FEATURE_UNAVAILABLE', why);
    }
    throw this.#failure(said);
  }

  #failure(said: string): JobFault {
    const message = lastMessage(said).replaceAll(this.#work, '');
    const known = KNOWN.find(({ pattern }) => pattern.test(message));
    const why = known?.why ?? message.slice(0, 300);
    return new JobFault('MEDIA_DOWNLOAD_FAILED', `${this.#shown} cannot be pulled: ${why}`, said);
  }
}

/** What skopeo and registries say of what people ask most. */
const KNOWN: readonly { readonly pattern: RegExp; readonly why: string }[] = [
  {
    pattern: /manifest unknown|name unknown|repository name not known|tag .* not found/i,
    why: 'the registry has no such image',
  },
  {
    pattern: /unauthorized|authentication required|access to the resource is denied|denied:/i,
    why: 'the registry refuses it: it is not there, or VOLANT_REGISTRY_AUTH_FILE has no credentials that may pull it',
  },
  {
    pattern: /toomanyrequests|too many requests/i,
    why: 'the registry has had too many requests; try again later',
  },
  {
    pattern: /x509:|certificate/i,
    why: 'the certificate of the registry is not trusted (VOLANT_CA_FILE)',
  },
  {
    pattern: /server gave HTTP response to HTTPS client/i,
    why: 'the registry has no TLS (VOLANT_REGISTRY_INSECURE)',
  },
  { pattern: /no such host/i, why: 'the name of the registry is not known' },
  { pattern: /connection refused/i, why: 'the registry does not accept connections' },
];

/** The source of an image in skopeo's words. A digest replaces the tag. */
export function sourceOf(reference: ImageReference, digest: string | null): string {
  if (reference.kind !== 'registry') {
    const { kind, path, name } = reference;
    return `${kind}:${path}${name === null ? '' : `:${name}`}`;
  }
  const { host, repository, tag } = reference;
  const by = digest ?? reference.digest;
  return `docker://${host}/${repository}${by === null ? `:${tag}` : `@${by}`}`;
}

/** Lines of logrus: time="…" level=fatal msg="…". */
function lastMessage(said: string): string {
  const messages = [...said.matchAll(/msg="((?:[^"\\]|\\.)*)"/g)].map(([, text = '']) => text);
  const text = messages.at(-1) ?? said.trim().split('\n').at(-1) ?? '';
  return text.replaceAll('\\"', '"').replaceAll(/\?[^\s"]*/g, '?…');
}

/** registries.conf(5), version 2. Hosts were checked when the settings were read, so none needs quoting. */
function registryList({ mirrors, insecure }: RegistrySettings): string {
  const isInsecure = (place: string) => insecure.includes(place.split('/')[0] ?? '');
  const named = new Set([...mirrors.keys(), ...insecure]);
  const blocks = [...named].map((host) => {
    const own = `[[registry]]\nprefix = "${host}"\nlocation = "${host}"\ninsecure = ${isInsecure(host)}\n`;
    const others = (mirrors.get(host) ?? []).map(
      (place) => `[[registry.mirror]]\nlocation = "${place}"\ninsecure = ${isInsecure(place)}\n`,
    );
    return own + others.join('');
  });
  return `unqualified-search-registries = []\nshort-name-mode = "disabled"\n${blocks.join('')}`;
}

/** The program reads authorities from a directory only. */
function certificatesIn(work: string, caFile: string | null): string | null {
  if (caFile === null) return null;
  const directory = join(work, 'certificates');
  mkdirSync(directory, { mode: 0o700 });
  try {
    copyFileSync(caFile, join(directory, 'ca.crt'));
  } catch (error) {
    if (!['ENOENT', 'EACCES', 'EISDIR'].includes(errnoOf(error) ?? '')) throw error;
    throw new JobFault(
      'MEDIA_DOWNLOAD_FAILED',
      `${caFile} of VOLANT_CA_FILE cannot be read`,
      error,
    );
  }
  return directory;
}

function proxyVariables({ httpsProxy, httpProxy, noProxy }: Outbound): Record<string, string> {
  return {
    ...(httpsProxy === null ? {} : { HTTPS_PROXY: httpsProxy }),
    ...(httpProxy === null ? {} : { HTTP_PROXY: httpProxy }),
    ...(noProxy.length === 0 ? {} : { NO_PROXY: noProxy.join(',') }),
  };
}
