// jobs, media: converts YAML documents to JSON. Guests and authors of manifests write them, so the time is bounded:
// some texts of a few kilobytes keep any YAML parser busy for minutes.

import { createContext, Script } from 'node:vm';
import { LIMITS } from '../../../config/limits.ts';
import { errnoOf, JobFault } from '../fault.ts';
import type { JobArgument } from '../protocol.ts';

/**
 * Converts a document. Throws DOCUMENT_UNREACHABLE when it is not an object in YAML, takes too long, or its JSON is
 * too large.
 */
export async function documentToJson({ text }: JobArgument<'documentToJson'>): Promise<string> {
  const { parse } = await import('yaml');
  const convert = () => {
    const value: unknown = parse(text, {
      // Both take time that grows with the square of the text's length.
      prettyErrors: false,
      uniqueKeys: false,
      logLevel: 'error',
    });
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new Error('it is not an object');
    }
    return JSON.stringify(value);
  };
  const json = inTime(convert);
  if (json.length > LIMITS.documentBytesMax) throw unconverted('as JSON it is too long');
  return json;
}

/** Synchronous code can only be ended by V8 itself: the timeout of a script also ends the functions that it calls. */
function inTime(convert: () => string): string {
  const script = new Script('convert()');
  try {
    return script.runInContext(createContext({ convert }), {
      timeout: LIMITS.documentConvertMs,
    }) as string;
  } catch (error) {
    const isLate = errnoOf(error) === 'ERR_SCRIPT_EXECUTION_TIMEOUT';
    if (isLate) throw unconverted(`that takes longer than ${LIMITS.documentConvertMs} ms`, error);
    const [line] = (error instanceof Error ? error.message : String(error)).split('\n');
    throw unconverted(line ?? '', error);
  }
}

function unconverted(why: string, cause?: unknown): JobFault {
  const remedy = 'format=raw answers it as it is';
  const message = `The document is neither JSON nor YAML that can be made JSON: ${why}; ${remedy}`;
  return new JobFault('DOCUMENT_UNREACHABLE', message, cause);
}
