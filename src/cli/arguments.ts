// cli: parses values of the command line. Only their form is checked; the daemon checks their meaning.

import { isUtf8 } from 'node:buffer';
import { readFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { UsageError } from './exit.ts';

const UNITS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** `500ms`, `30s`, `2m`, `1h`, `7d`; a number without a unit is seconds. */
export function parseDurationMs(text: string): number {
  const [, number = '', unit = 's'] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text) ?? [];
  if (number === '')
    throw new UsageError(`${text} is not a duration: write 500ms, 30s, 2m, 1h or 7d`);
  return Math.round(Number(number) * (UNITS_MS[unit] ?? 1000));
}

/** A duration of whole seconds, of which there must be one. */
export function parseSeconds(text: string): number {
  const seconds = Math.round(parseDurationMs(text) / 1000);
  if (seconds < 1) throw new UsageError(`${text} is less than a second`);
  return seconds;
}

export function parseCount(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new UsageError(`${text} is not a whole number`);
  return Number(text);
}

/** `128`, `128M`, `2G`; the result is in MiB. */
export function parseMemoryMb(text: string): number {
  const [, number = '', unit = 'm'] = /^(\d{1,9})(m|g)?$/.exec(text.toLowerCase()) ?? [];
  if (number === '')
    throw new UsageError(`${text} is not an amount of memory: write 512, 512M or 2G`);
  return Number(number) * (unit === 'g' ? 1024 : 1);
}

/** Collects the values of a repeatable option. */
export function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

/** `name=value`, repeated. */
export function parsePairs(pairs: readonly string[] = []): Readonly<Record<string, string>> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      if (at < 1) throw new UsageError(`${pair} is not of the form name=value`);
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

/** The bytes of a file, or of standard input for `-`. */
export async function readBytes(file: string, stdin: Readable): Promise<Buffer<ArrayBuffer>> {
  if (file !== '-') {
    try {
      return Buffer.from(await readFile(file));
    } catch (error) {
      throw new UsageError(`${file} cannot be read: ${(error as Error).message}`);
    }
  }
  const chunks: Buffer[] = [];
  for await (const chunk of stdin) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

/**
 * Like readBytes, for text. Throws UsageError for bytes that are not UTF-8, because they would be changed on the way. A
 * byte order mark is removed.
 */
export async function readText(file: string, stdin: Readable): Promise<string> {
  return toText(await readBytes(file, stdin), file === '-' ? 'Standard input' : file);
}

export function toText(bytes: Uint8Array, whence: string): string {
  if (!isUtf8(bytes)) throw new UsageError(`${whence} is not text in UTF-8`);
  return new TextDecoder().decode(bytes);
}

export function parseJson(text: string, whence: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UsageError(`${whence} is not JSON: ${(error as Error).message}`);
  }
}

/** The content of a JSON or YAML file; several YAML documents are a list. */
export async function parseData(text: string, whence: string): Promise<unknown> {
  const isYaml = /\.ya?ml$/i.test(whence) || !/^\s*[[{"]/.test(text);
  if (!isYaml) return parseJson(text, whence);
  // Loaded on use: most commands read no file.
  const { parseAllDocuments } = await import('yaml');
  const documents = parseAllDocuments(text);
  const problem = documents.flatMap(({ errors }) => errors)[0];
  if (problem !== undefined) {
    throw new UsageError(`${whence} is neither JSON nor YAML: ${problem.message}`);
  }
  const values = documents
    .map((document): unknown => document.toJS())
    .filter((value) => value !== null);
  return values.length === 1 ? values[0] : values;
}

export function asObject(value: unknown, whence: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new UsageError(`${whence} is not an object`);
}

/** The content of a file with one object, in JSON or YAML. */
export async function readObject(file: string, stdin: Readable): Promise<Record<string, unknown>> {
  return asObject(await parseData(await readText(file, stdin), file), file);
}

/** The members of the envelope around a config. */
const ENVELOPE = ['config', 'id', 'version', 'updated_at', 'pending_restart'];

/** A config from a file: alone, or in the envelope that `vms config get --raw` prints. */
export async function readConfig(file: string, stdin: Readable): Promise<Record<string, unknown>> {
  const content = await readObject(file, stdin);
  if (!('config' in content)) return content;
  const strange = Object.keys(content).find((member) => !ENVELOPE.includes(member));
  if (strange !== undefined) {
    throw new UsageError(
      `${file}: ${strange} is next to the member config; members of the config belong inside it`,
    );
  }
  return asObject(content['config'], `${file}: config`);
}
