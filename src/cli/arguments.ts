// cli: texts of the command line into values. Only their form is checked: what may be asked for is
// the daemon's to say.

import { isUtf8 } from 'node:buffer';
import { readFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { UsageError } from './exit.ts';

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** `500ms`, `30s`, `2m`, `1h`; a number alone is seconds. */
export function parseDurationMs(text: string): number {
  const [, number = '', unit = 's'] = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text) ?? [];
  if (number === '') throw new UsageError(`${text} is no duration: write 500ms, 30s or 2m`);
  return Math.round(Number(number) * (UNITS_MS[unit] ?? 1000));
}

export function parseCount(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new UsageError(`${text} is not a whole number`);
  return Number(text);
}

/** `128`, `128M`, `2G`: MiB. */
export function parseMemoryMb(text: string): number {
  const [, number = '', unit = 'm'] = /^(\d{1,9})(m|g)?$/.exec(text.toLowerCase()) ?? [];
  if (number === '') throw new UsageError(`${text} is no amount of memory: write 512, 512M or 2G`);
  return Number(number) * (unit === 'g' ? 1024 : 1);
}

/** Collects an option that may be given again and again. */
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

/** As readBytes; what is no UTF-8 is refused, for it would arrive as something else. A mark of the byte order goes. */
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

/** A file in JSON, or in YAML; several documents in YAML are a list. */
export async function parseData(text: string, whence: string): Promise<unknown> {
  const isYaml = /\.ya?ml$/i.test(whence) || !/^\s*[[{"]/.test(text);
  if (!isYaml) return parseJson(text, whence);
  // Most calls read no file at all.
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

/** A file with one object, in JSON or YAML. */
export async function readObject(file: string, stdin: Readable): Promise<Record<string, unknown>> {
  return asObject(await parseData(await readText(file, stdin), file), file);
}

/** What stands around a config in its envelope. */
const ENVELOPE = ['config', 'id', 'version', 'updated_at', 'pending_restart'];

/** A config as a file has it: alone, or in the envelope that `vms config get --raw` prints. */
export async function readConfig(file: string, stdin: Readable): Promise<Record<string, unknown>> {
  const content = await readObject(file, stdin);
  if (!('config' in content)) return content;
  const strange = Object.keys(content).find((member) => !ENVELOPE.includes(member));
  if (strange !== undefined) {
    throw new UsageError(
      `${file}: ${strange} stands beside config; a config's members belong into it`,
    );
  }
  return asObject(content['config'], `${file}: config`);
}
