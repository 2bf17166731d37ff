// cli, apply: YAML and JSON text as values whose members have line numbers. What the values mean is not known here.

import type { LineCounter, Node, Document as YamlDocument } from 'yaml';

/** A problem of a text, at a line that counts from 1. */
export interface TextProblem {
  readonly line: number;
  readonly text: string;
}

export interface Item {
  readonly value: unknown;
  readonly line: number;
  /** The line of the member at a path such as `config.disks[0].source`, and how many steps of the path exist. */
  lineOf(path: string): { readonly line: number; readonly depth: number };
}

/** The documents of a text; a list, and an object with `items`, are several. */
export async function parseItems(
  text: string,
  isJsonFile: boolean,
): Promise<{ readonly items: readonly Item[]; readonly problems: readonly TextProblem[] }> {
  const isJsonLike = isJsonFile || /^\s*[[{"]/.test(text);
  const json = isJsonLike ? parsedJson(text) : undefined;
  if (json !== undefined && 'problem' in json && isJsonFile) {
    return { items: [], problems: [json.problem] };
  }
  // Loaded on use: most commands read no file.
  const yaml = await import('yaml');
  const lines = new yaml.LineCounter();
  // Values of JSON are those of JSON.parse. YAML gives their lines, as far as it can read them.
  const uniqueKeys = json === undefined || 'problem' in json;
  const documents = [...yaml.parseAllDocuments(text, { lineCounter: lines, uniqueKeys })];
  if (json !== undefined && 'value' in json) {
    return { items: itemsOf(yaml, json.value, documents[0]?.contents, lines), problems: [] };
  }
  const items: Item[] = [];
  const problems: TextProblem[] = [];
  for (const document of documents) {
    const read = readDocument(document, lines);
    problems.push(...read.problems);
    if (read.problems.length === 0 && read.value !== null) {
      items.push(...itemsOf(yaml, read.value, document.contents, lines));
    }
  }
  return { items, problems };
}

function parsedJson(text: string): { value: unknown } | { problem: TextProblem } {
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    const { message } = error as Error;
    const position = Number(/position (\d+)/.exec(message)?.[1] ?? text.length);
    const line = text.slice(0, position).split('\n').length;
    return { problem: { line, text: `is not JSON: ${message}` } };
  }
}

function readDocument(
  document: YamlDocument,
  lines: LineCounter,
): { readonly value: unknown; readonly problems: readonly TextProblem[] } {
  const problems = document.errors.map(({ message, pos }) => ({
    line: lines.linePos(pos[0]).line,
    // The rest of the message is a copy of the line.
    text: `is neither JSON nor YAML: ${message.split(/ at line \d+, column \d+/)[0]}`,
  }));
  if (problems.length > 0) return { value: null, problems };
  try {
    return { value: document.toJS(), problems };
  } catch (error) {
    // An alias without an anchor, or too many aliases.
    if (!(error instanceof ReferenceError)) throw error;
    const { line } = lines.linePos(document.range?.[0] ?? 0);
    return { value: null, problems: [{ line, text: `is not valid YAML: ${error.message}` }] };
  }
}

type Yaml = typeof import('yaml');

function itemsOf(yaml: Yaml, value: unknown, node: unknown, lines: LineCounter): readonly Item[] {
  if (Array.isArray(value)) {
    const nodes = yaml.isSeq(node) ? node.items : [];
    return value.map((item, at) => itemOf(yaml, item, nodes[at] ?? node, lines));
  }
  if (isList(value)) {
    const list = yaml.isMap(node) ? node.get('items', true) : undefined;
    return itemsOf(yaml, value.items, list, lines);
  }
  return [itemOf(yaml, value, node, lines)];
}

function isList(value: unknown): value is { readonly items: readonly unknown[] } {
  if (typeof value !== 'object' || value === null || !('items' in value)) return false;
  return Array.isArray(value.items);
}

function itemOf(yaml: Yaml, value: unknown, node: unknown, lines: LineCounter): Item {
  const startOf = (part: unknown, otherwise: number) => {
    const range = yaml.isNode(part) ? (part as Node).range : undefined;
    return range ? lines.linePos(range[0]).line : otherwise;
  };
  const line = startOf(node, 1);
  const lineOf = (path: string) => {
    let at = node;
    let found = { line, depth: 0 };
    for (const step of stepsOf(path)) {
      let place: unknown;
      if (yaml.isMap(at)) {
        const pair = at.items.find(
          ({ key }) => (yaml.isScalar(key) ? `${key.value}` : '') === step,
        );
        [place, at] = [pair?.key, pair?.value];
      } else {
        at = yaml.isSeq(at) ? at.items[Number(step)] : undefined;
        place = at;
      }
      if (place === undefined) break;
      found = { line: startOf(place, found.line), depth: found.depth + 1 };
    }
    return found;
  };
  return { value, line, lineOf };
}

/** `config.disks[0]["a b"]` -> config, disks, 0, a b. */
export function stepsOf(path: string): readonly string[] {
  return [...path.matchAll(/\[("(?:[^"\\]|\\.)*")\]|[^.[\]]+/g)].map(([all, quoted]) =>
    quoted === undefined ? all : JSON.parse(quoted),
  );
}
