// lib, formats: parses the name of a container image: one of a registry, or a directory or archive of this host. Pure.
// Whether it may be used is checked by the jobs.

/** An image of a registry, or one in a directory or archive of this host. */
export type ImageReference = RegistryReference | LocalReference;

export interface RegistryReference {
  readonly kind: 'registry';
  /** The host of the registry with its port: docker.io, localhost:5000. */
  readonly host: string;
  /** The repository within the registry: library/nginx. */
  readonly repository: string;
  /** null if the image is named by its digest. */
  readonly tag: string | null;
  /** sha256: and 64 hexadecimal digits; null if the image is named by its tag. */
  readonly digest: string | null;
}

export interface LocalReference {
  /** The name of the transport, as in front of the path. */
  readonly kind: 'oci' | 'oci-archive' | 'docker-archive';
  /** An absolute path. */
  readonly path: string;
  /** Which image of several; null if there is only one. */
  readonly name: string | null;
}

const LOCAL_KINDS = ['oci', 'oci-archive', 'docker-archive'] as const;
const DEFAULT_HOST = 'docker.io';
const DEFAULT_TAG = 'latest';
const CHARACTERS_MAX = 4096;

/** As in the reference implementation of the distribution specification. */
const HOST =
  /^(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:]+\])(?::\d{1,5})?$/;
const REPOSITORY =
  /^[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*)*$/;
const REPOSITORY_CHARACTERS_MAX = 255;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const LOCAL_NAME = /^[A-Za-z0-9_][A-Za-z0-9._:/@-]{0,254}$/;

/** Of the digest of an image. Images are known by SHA-256 only. */
export const IMAGE_DIGEST = /^sha256:[0-9a-f]{64}$/;

/** Returns what a name means, or the end of a sentence that says what is wrong with it. */
export function parseImageReference(text: string): ImageReference | string {
  if (text.length > CHARACTERS_MAX) return `must have at most ${CHARACTERS_MAX} characters`;
  const kind = LOCAL_KINDS.find((name) => text.startsWith(`${name}:`));
  return kind === undefined ? registryReference(text) : localReference(kind, text);
}

/** The name in its complete form, with registry and tag or digest. It parses to the same reference. */
export function formatImageReference(reference: ImageReference): string {
  if (reference.kind !== 'registry') {
    const { kind, path, name } = reference;
    return `${kind}:${path}${name === null ? '' : `:${name}`}`;
  }
  const { host, repository, tag, digest } = reference;
  return `${host}/${repository}${digest === null ? `:${tag}` : `@${digest}`}`;
}

function localReference(kind: LocalReference['kind'], text: string): LocalReference | string {
  const rest = text.slice(kind.length + 1);
  if (!rest.startsWith('/')) return `must have an absolute path after ${kind}:`;
  // The path ends at the first colon, as in skopeo, so a path that has one cannot be named.
  const end = rest.indexOf(':');
  const path = end < 0 ? rest : rest.slice(0, end);
  const name = end < 0 ? null : rest.slice(end + 1);
  if (hasControlCharacters(path)) return 'must not contain control characters';
  if (path.split('/').includes('..')) return 'must not have ".." in its path';
  if (name !== null && !LOCAL_NAME.test(name)) {
    return 'must have the name of an image after the second colon, or nothing';
  }
  return { kind, path, name };
}

function registryReference(text: string): RegistryReference | string {
  if (/^[a-z]+:\/\//i.test(text)) {
    return 'must be the name of a container image, such as nginx:1.27, not a URL';
  }
  const [named = '', digest, more] = text.split('@');
  if (more !== undefined) return 'must have at most one digest';
  if (digest !== undefined && !IMAGE_DIGEST.test(digest)) {
    return 'must have sha256: and 64 lower-case hexadecimal digits after "@"';
  }
  const colon = named.lastIndexOf(':');
  const hasTag = colon > named.lastIndexOf('/');
  const path = hasTag ? named.slice(0, colon) : named;
  const tag = hasTag ? named.slice(colon + 1) : null;
  if (tag !== null && !TAG.test(tag)) {
    return 'must have a tag of at most 128 letters, digits, "_", "." and "-"';
  }
  const { host, repository } = hostAndRepository(path);
  if (!HOST.test(host) || !REPOSITORY.test(repository)) {
    return 'must be the name of a container image, such as nginx:1.27 or registry.example.org/team/app:2';
  }
  if (repository.length > REPOSITORY_CHARACTERS_MAX) {
    return `must have a repository of at most ${REPOSITORY_CHARACTERS_MAX} characters`;
  }
  // A digest says which image it is. A tag beside it is a note for people.
  if (digest !== undefined) return { kind: 'registry', host, repository, tag: null, digest };
  return { kind: 'registry', host, repository, tag: tag ?? DEFAULT_TAG, digest: null };
}

/** The first part is a registry if it looks like a host. Names without one are those of Docker Hub. */
function hostAndRepository(path: string): { host: string; repository: string } {
  const slash = path.indexOf('/');
  const first = slash < 0 ? '' : path.slice(0, slash);
  const isHost = /[.:[]/.test(first) || first === 'localhost' || /[A-Z]/.test(first);
  const rest = isHost ? path.slice(slash + 1) : path;
  const named = isHost ? first.toLowerCase() : DEFAULT_HOST;
  const host = named === 'index.docker.io' ? DEFAULT_HOST : named;
  const repository = host === DEFAULT_HOST && !rest.includes('/') ? `library/${rest}` : rest;
  return { host, repository };
}

function hasControlCharacters(text: string): boolean {
  return [...text].some((character) => {
    const code = character.codePointAt(0) ?? 0;
    return code < 0x20 || code === 0x7f;
  });
}
