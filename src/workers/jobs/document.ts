// workers, job: a document in YAML as JSON. A guest or an author of manifests wrote it, so it is bounded in
// time: some texts of a few kilobytes keep any parser of YAML busy for minutes.

import { createContext, Script } from 'node:vm';
import { LIMITS } from '../../config.ts';
import type { JobArgument } from '../protocol.ts';
import { errnoOf, JobFault } from './fault.ts';

/** DOCUMENT_UNREACHABLE for what is no object in YAML, takes too long, or would be too large. */
export async function documentToJson({ text }: JobArgument<'documentToJson'>): Promise<string> {
  const { parse } = await import('yaml');
  const convert = () => {
    const value: unknown = parse(text, {
      // Both take time that grows with the square of the text.
      prettyErrors: false,
      uniqueKeys: false,
      logLevel: 'error',
    });
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new Error('it is no object');
    }
    return JSON.stringify(value);
  };
  const json = inTime(convert);
  if (json.length > LIMITS.documentBytesMax) throw unconverted('as JSON it is too long');
  return json;
}

/** Only V8 itself can end what does not wait: its watchdog ends everything that the script calls. */
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
