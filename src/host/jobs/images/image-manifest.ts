// jobs, images: the documents of an image: index, manifest and config, of OCI (image-spec 1.1) and of Docker (schema 2). What
// is not an image that a VM can run is refused here, by name. Pure.

import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import { LIMITS } from '../../../config/limits.ts';
import type { ImageSettings } from '../../../engine/ports/media-ports.ts';
import { IMAGE_DIGEST } from '../../../lib/formats/image-reference.ts';
import { signalNumber } from '../../../lib/formats/signals.ts';
import { GUEST_LIMITS } from '../../../schema/rules/guest-limits.ts';

/** An image that cannot be used. The message is the end of a sentence. */
export class ImageInvalid extends Error {
  override readonly name = 'ImageInvalid';
}

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

export interface ImageManifest {
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

export interface ImageConfig {
  readonly settings: ImageSettings;
  /** Digests of the layers when they are unpacked. */
  readonly contentDigests: readonly string[];
}

const OS = 'linux';
const ARCHITECTURE = 'amd64';

const INDEX_TYPES = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
];
const CONFIG_TYPES = [
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
];
const LAYER_TYPES = [
  'application/vnd.oci.image.layer.v1.tar',
  'application/vnd.oci.image.layer.v1.tar+gzip',
  'application/vnd.oci.image.layer.v1.tar+zstd',
  'application/vnd.docker.image.rootfs.diff.tar',
  'application/vnd.docker.image.rootfs.diff.tar.gzip',
  'application/vnd.docker.image.rootfs.diff.tar.zstd',
];

type Json = Readonly<Record<string, unknown>>;

/** The digest by which a document is named. */
export function digestOf(document: string | Uint8Array): string {
  return `sha256:${createHash('sha256').update(document).digest('hex')}`;
}

/**
 * The digest of the manifest for this platform in an index; null for a document that is a manifest itself. Throws
 * ImageInvalid.
 */
export function platformDigest(document: string): string | null {
  const json = objectIn(document, 'manifest');
  refuseSchema1(json);
  const isIndex =
    INDEX_TYPES.includes(textIn(json, 'mediaType')) || Array.isArray(json['manifests']);
  if (!isIndex) return null;
  const entries = listIn(json, 'manifests').map(asObject);
  const fitting = entries.filter(({ platform }) => {
    const { os, architecture } = asObject(platform ?? {});
    return os === OS && architecture === ARCHITECTURE;
  });
  // A variant such as v2 needs a newer processor than every host has.
  const isPlain = (entry: Json) => !textIn(asObject(entry['platform'] ?? {}), 'variant');
  const best = fitting.find(isPlain) ?? fitting[0];
  if (best !== undefined) return descriptorOf(best).digest;
  const platforms = entries.map((entry) => platformName(asObject(entry['platform'] ?? {})));
  const offered = [...new Set(platforms)].filter((name) => name !== 'unknown/unknown').slice(0, 8);
  throw new ImageInvalid(
    `is not made for ${OS}/${ARCHITECTURE}, but for ${offered.join(', ') || 'nothing'}`,
  );
}

/** A manifest. Throws ImageInvalid for what is not the file system of a container. */
export function parseManifest(document: string): ImageManifest {
  const json = objectIn(document, 'manifest');
  refuseSchema1(json);
  const config = descriptorOf(asObject(json['config'] ?? {}));
  if (!CONFIG_TYPES.includes(config.mediaType)) {
    throw new ImageInvalid(`is no container image: its config is of the type ${config.mediaType}`);
  }
  const layers = listIn(json, 'layers').map((layer) => descriptorOf(asObject(layer)));
  if (layers.length > LIMITS.imageLayersMax) {
    throw new ImageInvalid(`has more than ${LIMITS.imageLayersMax} layers`);
  }
  for (const { mediaType } of layers) {
    if (LAYER_TYPES.includes(mediaType)) continue;
    throw new ImageInvalid(`has a layer of the type ${mediaType}, which cannot be unpacked`);
  }
  return { config, layers };
}

/** The config of an image. Throws ImageInvalid for settings that a guest would not take. */
export function parseConfig(document: string, layers: number): ImageConfig {
  const json = objectIn(document, 'config');
  const platform = platformName(json);
  if (platform !== `${OS}/${ARCHITECTURE}`) {
    throw new ImageInvalid(`is made for ${platform}, not for ${OS}/${ARCHITECTURE}`);
  }
  const contentDigests = listIn(asObject(json['rootfs'] ?? {}), 'diff_ids').map(String);
  const isSound = contentDigests.every((digest) => IMAGE_DIGEST.test(digest));
  if (contentDigests.length !== layers || !isSound) {
    throw new ImageInvalid('names other layers in its config than in its manifest');
  }
  return { settings: settingsOf(asObject(json['config'] ?? {})), contentDigests };
}

function settingsOf(config: Json): ImageSettings {
  const entrypoint = textsIn(config, 'Entrypoint');
  const command = textsIn(config, 'Cmd');
  const env = variablesOf(textsIn(config, 'Env'));
  const stopSignal = textIn(config, 'StopSignal') || 'SIGTERM';
  if (signalNumber(stopSignal) === null) {
    throw new ImageInvalid(
      `has the stop signal ${JSON.stringify(stopSignal)}, which Linux does not have`,
    );
  }
  const settings: ImageSettings = {
    entrypoint,
    command,
    env,
    user: boundedText(config, 'User', GUEST_LIMITS.userBytesMax),
    workdir: pathOf(boundedText(config, 'WorkingDir', GUEST_LIMITS.pathBytesMax)),
    exposed_ports: portsOf(Object.keys(asObject(config['ExposedPorts'] ?? {}))),
    volumes: Object.keys(asObject(config['Volumes'] ?? {})).map(pathOf),
    labels: labelsOf(asObject(config['Labels'] ?? {})),
    stop_signal: stopSignal,
  };
  requireGuestTakes(settings);
  return settings;
}

/** What the agent takes of a manifest it takes of an image. */
function requireGuestTakes({ entrypoint, command, env, volumes }: ImageSettings): void {
  const { argumentsMax, argumentBytesMax, variablesMax, executeBytesMax } = GUEST_LIMITS;
  const texts = [...entrypoint, ...command, ...Object.entries(env).map((pair) => pair.join('='))];
  if (entrypoint.length + command.length > argumentsMax) {
    throw new ImageInvalid(`has more than ${argumentsMax} arguments in its entrypoint and command`);
  }
  if (Object.keys(env).length > variablesMax) {
    throw new ImageInvalid(`has more than ${variablesMax} variables`);
  }
  const bytes = texts.map((text) => Buffer.byteLength(text) + 9);
  const sum = bytes.reduce((total, one) => total + one, 0);
  if (bytes.some((one) => one > argumentBytesMax) || sum > executeBytesMax / 2) {
    throw new ImageInvalid('has arguments and variables that are too long');
  }
  if (volumes.length > LIMITS.imageVolumesMax) {
    throw new ImageInvalid(`has more than ${LIMITS.imageVolumesMax} volumes`);
  }
}

function variablesOf(pairs: readonly string[]): Record<string, string> {
  const variables: Record<string, string> = {};
  for (const pair of pairs) {
    const equals = pair.indexOf('=');
    // A name alone takes its value from the one who starts a container. Here nobody has one.
    if (equals > 0) variables[pair.slice(0, equals)] = pair.slice(equals + 1);
  }
  return variables;
}

/** "80/tcp", "53/udp", or "80"; ranges are "8000-8010/tcp". In the order of their numbers. */
function portsOf(given: readonly string[]): ImageSettings['exposed_ports'] {
  const ports = given.map((text) => {
    const [, first = '', , protocol = 'tcp'] =
      /^(\d{1,5})(-\d{1,5})?(?:\/(tcp|udp|sctp))?$/i.exec(text) ?? [];
    const port = Number(first);
    if (first === '' || port < 1 || port > 65_535) {
      throw new ImageInvalid(`exposes ${JSON.stringify(text.slice(0, 40))}, which is no port`);
    }
    return { port, protocol: protocol.toLowerCase() };
  });
  if (ports.length > LIMITS.imagePortsMax) {
    throw new ImageInvalid(`exposes more than ${LIMITS.imagePortsMax} ports`);
  }
  return ports.sort((one, other) => one.port - other.port);
}

function labelsOf(given: Json): Record<string, string> {
  const labels = Object.entries(given).map(([name, value]) => [name, String(value)] as const);
  const bytes = labels.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
  if (bytes > LIMITS.imageLabelsBytesMax) {
    throw new ImageInvalid(`has more than ${LIMITS.imageLabelsBytesMax} bytes of labels`);
  }
  return Object.fromEntries(labels);
}

/** A path of the image in its normal form; '' stays. */
function pathOf(given: string): string {
  return given === '' ? '' : posix.normalize(`/${given}`);
}

function boundedText(json: Json, name: string, bytesMax: number): string {
  const text = textIn(json, name);
  if (Buffer.byteLength(text) <= bytesMax) return text;
  throw new ImageInvalid(`has a ${name} of more than ${bytesMax} bytes`);
}

/** Its layers have no digests of their content, and its manifest is signed in a form of its own. */
function refuseSchema1(json: Json): void {
  if (json['schemaVersion'] !== 1) return;
  throw new ImageInvalid(
    'is in the old format "schema 1": push it again with a present version of its tool',
  );
}

function descriptorOf(json: Json): Descriptor {
  const digest = textIn(json, 'digest');
  const size = json['size'];
  if (!IMAGE_DIGEST.test(digest)) throw new ImageInvalid('has a digest that is not SHA-256');
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw new ImageInvalid('has a part whose size is not a number');
  }
  return { mediaType: textIn(json, 'mediaType'), digest, size };
}

function platformName(json: Json): string {
  return `${textIn(json, 'os') || 'unknown'}/${textIn(json, 'architecture') || 'unknown'}`;
}

function objectIn(document: string, what: string): Json {
  try {
    return asObject(JSON.parse(document));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new ImageInvalid(`has a ${what} that is not JSON`);
  }
}

function asObject(value: unknown): Json {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json;
  throw new ImageInvalid('has a damaged manifest or config');
}

function listIn(json: Json, name: string): readonly unknown[] {
  const value = json[name] ?? [];
  if (Array.isArray(value)) return value;
  throw new ImageInvalid(`has a damaged manifest: ${name} is no list`);
}

/** null and absent are an empty list. */
function textsIn(json: Json, name: string): string[] {
  return listIn(json, name).map((item) => textOf(item, name));
}

function textIn(json: Json, name: string): string {
  const value = json[name] ?? '';
  return textOf(value, name);
}

function textOf(value: unknown, name: string): string {
  if (typeof value === 'string' && !value.includes('\0')) return value;
  throw new ImageInvalid(`has a damaged manifest or config: ${name} is no text`);
}
