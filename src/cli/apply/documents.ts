// cli, apply: reads the documents of files, and finds what is wrong with their form. The daemon checks their meaning.

import { readdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import type { ManifestInput } from '../../client/types.ts';
import { readText } from '../arguments.ts';
import { EXIT, UsageError } from '../exit.ts';
import { completeManifest } from '../manifest-file.ts';
import { isObject } from './members.ts';
import type { Problem } from './problems.ts';
import { type Item, parseItems, stepsOf } from './yaml-lines.ts';

export const KINDS = ['VM', 'Deployment', 'Plugin'] as const;
export type Kind = (typeof KINDS)[number];

/** A volar that reads more has been given the wrong directory. */
const DOCUMENTS_MAX = 10_000;

/** The desired object: the members of the API's request for it, its kind, and where it is written. */
export interface Document {
  readonly kind: Kind;
  readonly name: string;
  readonly members: Readonly<Record<string, unknown>>;
  readonly file: string;
  /** Counts from 1 in each file. */
  readonly number: number;
  readonly line: number;
  /** The line of the member that a problem of the request is about. */
  lineOf(path: string): number;
}

export interface Read {
  readonly documents: readonly Document[];
  readonly problems: readonly Problem[];
}

/** The documents of files, of directories, and of standard input. Plugins come first, because the others need them. */
export async function readDocuments(given: readonly string[], stdin: Readable): Promise<Read> {
  const files = (await Promise.all(given.map(filesOf))).flat();
  if (files.filter((file) => file === '-').length > 1) {
    throw new UsageError('Standard input can be given only once');
  }
  const documents: Document[] = [];
  const problems: Problem[] = [];
  for (const file of files) {
    const read = await readFile(file, stdin);
    documents.push(...read.documents);
    problems.push(...read.problems);
    if (documents.length > DOCUMENTS_MAX) {
      throw new UsageError(`There are more than ${DOCUMENTS_MAX} documents`);
    }
  }
  if (documents.length + problems.length === 0) {
    throw new UsageError(`There is no document in ${files.join(', ')}`);
  }
  const isPlugin = ({ kind }: Document) => kind === 'Plugin';
  return {
    documents: [
      ...documents.filter(isPlugin),
      ...documents.filter((document) => !isPlugin(document)),
    ],
    problems: [...problems, ...repeated(documents)],
  };
}

/** Identifies an object on the daemon. */
export function keyOf({ kind, name }: { readonly kind: Kind; readonly name: string }): string {
  return `${kind} ${name}`;
}

async function filesOf(given: string): Promise<readonly string[]> {
  if (given === '-') return [given];
  try {
    if (!(await stat(given)).isDirectory()) return [given];
  } catch (error) {
    throw new UsageError(`${given} cannot be read: ${(error as Error).message}`);
  }
  const names = (await readdir(given)).filter((name) => /\.(ya?ml|json)$/i.test(name)).sort();
  if (names.length === 0) throw new UsageError(`${given} has no .yaml, .yml or .json file`);
  return names.map((name) => join(given, name));
}

async function readFile(file: string, stdin: Readable): Promise<Read> {
  const text = await readText(file, stdin);
  const whence = file === '-' ? 'standard input' : file;
  const parsed = await parseItems(text, /\.json$/i.test(file));
  const documents: Document[] = [];
  const problems: Problem[] = parsed.problems.map((problem) => ({
    file: whence,
    exit: EXIT.usage,
    ...problem,
  }));
  const directory = file === '-' ? process.cwd() : dirname(resolve(file));
  for (const [index, item] of parsed.items.entries()) {
    const place = { file: whence, number: index + 1, line: item.line, exit: EXIT.usage };
    const formed = documentOf(item, whence, index + 1);
    if (Array.isArray(formed)) {
      problems.push(...formed.map((text) => ({ ...place, text })));
      continue;
    }
    try {
      documents.push(await completed(formed as Document, directory, stdin));
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      problems.push({ ...place, subject: keyOf(formed as Document), text: error.message });
    }
  }
  return { documents, problems };
}

/** The document, or what is wrong with it. */
function documentOf(item: Item, file: string, number: number): Document | readonly string[] {
  const { value, line } = item;
  if (!isObject(value)) return ['is not an object'];
  const { kind: given, ...members } = value;
  const kind = KINDS.find((known) => known.toLowerCase() === String(given).toLowerCase());
  const { name } = members;
  const isNamed = typeof name === 'string' && name !== '';
  const { config } = members;
  const isFormed = kind === 'Plugin' || config === undefined || config === null || isObject(config);
  if (kind !== undefined && isNamed && isFormed) {
    return { kind, name, members, file, number, line, lineOf: (path) => lineOf(item, path) };
  }
  return [
    ...(kind === undefined ? [`kind must be one of ${KINDS.join(', ')}`] : []),
    ...(isNamed ? [] : ['has no name']),
    ...(isFormed ? [] : ['config is not an object']),
  ];
}

/** A member of a config may also be written in the short form of the request that creates a VM, and the reverse. */
function lineOf(item: Item, path: string): number {
  const inside = path.replace(/^config\./, '');
  const short = inside.replace(/^resources\./, '').replace(/^api\./, 'api_');
  const forms = [path, `config.${path}`, inside, short, `resources.${path}`];
  const found = forms.map((form) => ({ form, ...item.lineOf(form) }));
  const whole = found.find(({ form, depth }) => depth === stepsOf(form).length);
  const deepest = found.reduce((one, other) => (other.depth > one.depth ? other : one));
  return (whole ?? deepest).line;
}

function repeated(documents: readonly Document[]): readonly Problem[] {
  const first = new Map<string, Document>();
  return documents.flatMap((document) => {
    const before = first.get(keyOf(document));
    if (before === undefined) {
      first.set(keyOf(document), document);
      return [];
    }
    const { file, number, line } = document;
    const text = `is in ${before.file}:${before.line}, too`;
    return [{ file, number, line, subject: keyOf(document), text, exit: EXIT.usage }];
  });
}

async function completed(
  document: Document,
  directory: string,
  stdin: Readable,
): Promise<Document> {
  const complete = (part: ManifestInput) => completeManifest(part, directory, stdin);
  if (document.kind === 'Plugin') {
    return { ...document, members: { ...(await complete(document.members as ManifestInput)) } };
  }
  const { config: given } = document.members;
  if (typeof given !== 'object' || given === null) return document;
  // A config names its images as a manifest does, and may contain a manifest.
  const config: Record<string, unknown> = { ...(await complete(given as ManifestInput)) };
  const { manifest } = config;
  if (isObject(manifest)) config['manifest'] = await complete(manifest as ManifestInput);
  return { ...document, members: { ...document.members, config } };
}
