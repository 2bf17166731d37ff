// scripts: writes the types of the API as declarations that need no package. Types of schemas are generated from the JSON
// Schema that they are at run time; other types are copied.

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * The text of a declaration file with every type of these modules and of the schema modules that they import. `modules` are
 * paths of compiled schema modules, without their extension. Throws an Error for a type that cannot be written.
 */
export async function declareTypes(modules) {
  const statements = new Map();
  for (const module of modules) await collect(module, statements);
  return `// The nouns of the API. Written by scripts/build-client.mjs.\n\n${[...statements.values()].join('\n\n')}\n`;
}

async function collect(module, statements) {
  if (statements.has(module)) return;
  statements.set(module, '');
  const text = readFileSync(`${module}.d.ts`, 'utf8');
  for (const [, from] of text.matchAll(/^import [^;]*from '(\.\/[^']+)\.ts';/gm)) {
    await collect(join(dirname(module), from), statements);
  }
  const values = await import(`${module}.js`);
  statements.set(
    module,
    typeStatements(text)
      .map((each) => writeOut(each, values))
      .join('\n'),
  );
}

/** The statements of a declaration file that declare types, with their comments. */
function typeStatements(text) {
  const beginning = /^(?:\/\*\*|export |import |declare )/m;
  const chunks = [];
  for (const line of text.split('\n')) {
    const last = chunks.at(-1);
    const isComment = last?.startsWith('/**') && !/^export /m.test(last);
    if (beginning.test(line) && !isComment) chunks.push(line);
    else if (last !== undefined) chunks[chunks.length - 1] = `${last}\n${line}`;
  }
  return chunks
    .map((chunk) => chunk.trim())
    .filter((chunk) => /^export (type|interface) /m.test(chunk));
}

function writeOut(statement, values) {
  const found = (name) => {
    if (values[name] === undefined) throw new Error(`${name} is not exported, and a type needs it`);
    return values[name];
  };
  const result = statement
    .replaceAll(/\bStatic<typeof (\w+)>/g, (_, name) => typeOf(found(name)))
    .replaceAll(/\(typeof (\w+)\)\[number\]/g, (_, name) => found(name).map(literal).join(' | '));
  if (/\btypeof\b|\bStatic\b/.test(result)) throw new Error(`cannot be written out: ${statement}`);
  return result;
}

const literal = (value) => `'${String(value).replaceAll(/[\\']/g, '\\$&')}'`;

const PRIMITIVES = {
  string: 'string',
  integer: 'number',
  number: 'number',
  boolean: 'boolean',
  null: 'null',
};

/** A TypeScript type for a JSON Schema. Keywords that only bound values are ignored. */
function typeOf(schema) {
  if (schema.anyOf !== undefined) return schema.anyOf.map(typeOf).join(' | ');
  if (schema.enum !== undefined) return schema.enum.map(literal).join(' | ');
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.type === 'array') return `(${typeOf(schema.items)})[]`;
  if (schema.type === 'object') return objectType(schema);
  const primitive = PRIMITIVES[schema.type];
  if (primitive !== undefined) return primitive;
  const words = Object.keys(schema).filter((key) => !['description', 'title'].includes(key));
  if (words.length > 0) throw new Error(`a schema with ${words} cannot be written out`);
  return 'unknown';
}

function objectType({ properties = {}, required = [], additionalProperties }) {
  if (typeof additionalProperties === 'object' && Object.keys(properties).length === 0) {
    return `Record<string, ${typeOf(additionalProperties)}>`;
  }
  const members = Object.entries(properties).map(([name, schema]) => {
    const key = /^[A-Za-z_]\w*$/.test(name) ? name : literal(name);
    const comment =
      schema.description === undefined
        ? ''
        : `/** ${schema.description.replaceAll('*/', '* /')} */ `;
    return `${comment}${key}${required.includes(name) ? '' : '?'}: ${typeOf(schema)}`;
  });
  return members.length === 0 ? '{}' : `{ ${members.join('; ')} }`;
}
