// cli, apply: what is wrong with documents, all of it in one message.

import { ApiError } from '../../client/errors.ts';
import { DocumentsError, EXIT, toFailure } from '../exit.ts';

export interface Problem {
  readonly file: string;
  /** Number of the document in its file; absent if the file cannot be divided into documents. */
  readonly number?: number;
  readonly line: number;
  /** Kind and name. */
  readonly subject?: string;
  /** The member that is wrong. */
  readonly member?: string;
  readonly text: string;
  /** The exit status, if there is no other problem. */
  readonly exit: number;
}

/** Where a document is. */
interface Place {
  readonly file: string;
  readonly number: number;
  readonly line: number;
  readonly subject: string;
  lineOf(path: string): number;
}

/** An answer to a dry run that is about the document. Others, such as OVERLOADED, are about the daemon or the client. */
const DOCUMENT_STATUSES: readonly number[] = [400, 404, 409, 412, 413, 422];

/** What is wrong with a document, by the answer to its dry run. Throws the error if it is not about the document. */
export function problemsOf(error: unknown, document: Place): readonly Problem[] {
  if (!(error instanceof ApiError && DOCUMENT_STATUSES.includes(error.status))) throw error;
  const { file, number, line: start, subject } = document;
  const place = { file, number, line: start, subject };
  const lineOf = (path: string) => document.lineOf(path);
  const { exit } = toFailure(error, '');
  const details = Object.entries(error.details);
  if (details.length === 0) {
    const line = error.code.startsWith('PLUGIN_') ? lineOf('plugin') : start;
    return [{ ...place, line, text: error.message, exit }];
  }
  return details.map(([member, text]) => ({ ...place, line: lineOf(member), member, text, exit }));
}

/** Throws all problems as one error; does nothing if there are none. */
export function refuse(problems: readonly Problem[]): void {
  if (problems.length === 0) return;
  const details: Record<string, string> = {};
  for (const problem of inOrder(problems)) {
    const place = placeOf(problem);
    const before = details[place];
    details[place] = before === undefined ? problem.text : `${before}; ${problem.text}`;
  }
  const count = problems.length === 1 ? 'is 1 problem' : `are ${problems.length} problems`;
  const message = `There ${count} in the documents. Nothing was changed.`;
  throw new DocumentsError(message, details, exitOf(problems));
}

function inOrder(problems: readonly Problem[]): readonly Problem[] {
  const files = [...new Set(problems.map(({ file }) => file))].sort();
  return files.flatMap((file) =>
    problems.filter((problem) => problem.file === file).sort((one, other) => one.line - other.line),
  );
}

/** `web.yaml:12: document 2 (VM web): config.expose[0].port`. */
function placeOf({ file, number, line, subject, member }: Problem): string {
  const name = subject === undefined ? '' : ` (${subject})`;
  const parts = [
    `${file}:${line}`,
    ...(number === undefined ? [] : [`document ${number}${name}`]),
    ...(member === undefined ? [] : [member]),
  ];
  return parts.join(': ');
}

function exitOf(problems: readonly Problem[]): number {
  const exits = [...new Set(problems.map(({ exit }) => exit))];
  if (exits.includes(EXIT.usage)) return EXIT.usage;
  return exits.length === 1 ? (exits[0] ?? EXIT.failed) : EXIT.failed;
}
