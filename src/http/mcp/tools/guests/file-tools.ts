// http, mcp: tools for files in a VM: read a part, write a file, list a directory. Each answer is bounded.

import { type Static, Type } from 'typebox';
import { LIMITS } from '../../../../config/limits.ts';
import { VolantError } from '../../../../lib/errors.ts';
import {
  type GuestFile,
  GuestFileSchema,
  MODE_PATTERN,
  OWNER_PATTERN,
} from '../../../../schema/file.ts';
import { FILE_OPERATIONS } from '../../../../schema/operations/files.ts';
import { Int64, Nullable, OneOf } from '../../../../schema/parts.ts';
import { compileValidator } from '../../../../schema/validate.ts';
import { askGuest, type GuestAnswer, type GuestQuestion } from '../../../guests/ask-guest.ts';
import { refusalOf } from '../../../guests/files/answer-rules.ts';
import { connectionTo } from '../../../guests/files/file-proxy.ts';
import { agentTarget, placeProblem } from '../../../guests/files/file-request.ts';
import { NAME } from '../arguments.ts';
import { outputOf } from '../outputs.ts';
import { defineTool, READS, REMOVES, type Tool, type ToolContext } from '../tool.ts';

const ENCODINGS = ['text', 'base64'] as const;

const PATH = {
  path: Type.String({ minLength: 1, description: 'Path in the guest, such as /etc/hosts' }),
};

const ReadInput = Type.Object({
  ...NAME,
  ...PATH,
  offset: Type.Optional(Int64({ description: 'Bytes to skip' })),
  limit: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: LIMITS.mcpAnswerBytesMax,
      description: `Maximum number of bytes in the answer; ${LIMITS.mcpAnswerBytes} when absent`,
    }),
  ),
  encoding: Type.Optional(OneOf(ENCODINGS, 'base64 for bytes in every case')),
});

const ReadAnswerSchema = Type.Object({
  content: Type.String(),
  encoding: OneOf(ENCODINGS, 'base64 if the bytes are not UTF-8'),
  size: Nullable(Int64({ description: 'Bytes of the whole file; null if that is not known' })),
  next_offset: Nullable(Int64({ description: 'For the next call; null at the end of the file' })),
  mode: Type.String({ description: 'Octal' }),
  etag: Type.String({ description: 'This version of the file' }),
});

const WriteInput = Type.Object({
  ...NAME,
  ...PATH,
  content: Type.String({
    maxLength: LIMITS.mcpGuestBodyBytesMax,
    description: `At most ${LIMITS.mcpGuestBodyBytesMax} bytes; the whole new content`,
  }),
  encoding: Type.Optional(OneOf(ENCODINGS, 'base64 for content of bytes; text when absent')),
  mode: Type.Optional(
    Type.String({ pattern: MODE_PATTERN, description: 'Octal; when absent it stays, or is 0644' }),
  ),
  owner: Type.Optional(
    Type.String({ pattern: OWNER_PATTERN, description: 'Numbers of user and group: 1000:1000' }),
  ),
  parents: Type.Optional(Type.Boolean({ description: 'Make missing directories' })),
  etag: Type.Optional(
    Type.String({ description: 'Replace only this version; FILE_CHANGED if there is another one' }),
  ),
});

const ListInput = Type.Object({
  ...NAME,
  ...PATH,
  limit: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: LIMITS.mcpPageMax,
      description: `Maximum number of entries; ${LIMITS.mcpPageDefault} when absent`,
    }),
  ),
  offset: Type.Optional(Int64({ description: 'Entries to skip' })),
});

export const FILE_TOOLS: readonly Tool[] = [
  defineTool({
    name: 'volant.vms.files.read',
    scope: FILE_OPERATIONS.getVMFile.scope,
    description:
      'Read a file of a VM, or a part of it, as text or base64. next_offset continues where an answer ended.',
    input: ReadInput,
    output: outputOf(ReadAnswerSchema),
    hints: READS,
    run: read,
  }),
  defineTool({
    name: 'volant.vms.files.write',
    scope: FILE_OPERATIONS.putVMFile.scope,
    description:
      'Write a file of a VM. It is replaced in one step; mode and owner stay as they were unless given.',
    input: WriteInput,
    output: outputOf(GuestFileSchema),
    hints: REMOVES,
    run: write,
  }),
  defineTool({
    name: 'volant.vms.files.list',
    scope: FILE_OPERATIONS.getVMFile.scope,
    description: 'List a directory of a VM: names, types, sizes, modes and times, unsorted.',
    input: ListInput,
    output: outputOf(GuestFileSchema),
    hints: READS,
    run: list,
  }),
];

async function read(
  context: ToolContext,
  { name, path, offset = 0, limit = LIMITS.mcpAnswerBytes, encoding }: Static<typeof ReadInput>,
): Promise<Static<typeof ReadAnswerSchema>> {
  const answer = await ask(
    context,
    name,
    path,
    { format: 'file' },
    {
      method: 'GET',
      headers: { Range: `bytes=${offset}-${offset + limit - 1}` },
      answerBytesMax: limit,
      acceptsPartial: true,
    },
  );
  const facts = { mode: headerIn(answer, 'x-volant-mode'), etag: headerIn(answer, 'etag') };
  const whole = /^bytes (?:\d+-\d+|\*)\/(\d+)$/.exec(headerIn(answer, 'content-range'))?.[1];
  const size = whole === undefined ? null : Number(whole);
  // Nothing lies behind the end, and an empty file has no part.
  if (answer.status === 416) {
    return { content: '', encoding: encoding ?? 'text', size, next_offset: null, ...facts };
  }
  if (answer.status === 200 && offset > 0) {
    throw new VolantError('FILE_RANGE_INVALID', `${path} can only be read from its beginning`);
  }
  const shown = shownContent(answer.bytes, encoding);
  const end = offset + shown.usedBytes;
  const isEnd = size === null ? answer.isWhole : end >= size;
  const { usedBytes: _, ...content } = shown;
  return { ...content, size, next_offset: isEnd ? null : end, ...facts };
}

/** Text ends between two characters. */
function shownContent(bytes: Buffer, encoding: (typeof ENCODINGS)[number] | undefined) {
  if (encoding !== 'base64') {
    try {
      const content = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes, {
        stream: true,
      });
      const usedBytes = Buffer.byteLength(content);
      // A file can end in the middle of a character; then it is no text.
      if (usedBytes > 0 || bytes.length === 0) {
        return { content, encoding: 'text' as const, usedBytes };
      }
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
    }
  }
  const content = bytes.toString('base64');
  return { content, encoding: 'base64' as const, usedBytes: bytes.length };
}

async function write(
  context: ToolContext,
  { name, path, content, encoding = 'text', mode, owner, parents, etag }: Static<typeof WriteInput>,
): Promise<object> {
  const parameters = {
    format: 'file',
    ...(mode === undefined ? {} : { mode }),
    ...(owner === undefined ? {} : { owner }),
    ...(parents === true ? { parents: 'true' } : {}),
  };
  const { text } = await ask(context, name, path, parameters, {
    method: 'PUT',
    headers: etag === undefined ? {} : { 'If-Match': etag },
    bytes: bytesIn(content, encoding),
    answerBytesMax: LIMITS.mcpAnswerBytes,
  });
  return factsIn(text);
}

function bytesIn(content: string, encoding: (typeof ENCODINGS)[number]): Buffer {
  if (encoding === 'base64' && !/^[A-Za-z0-9+/]*={0,2}$/.test(content)) {
    throw invalid('content', 'must be base64');
  }
  const bytes = Buffer.from(content, encoding === 'base64' ? 'base64' : 'utf8');
  if (bytes.length <= LIMITS.mcpGuestBodyBytesMax) return bytes;
  throw invalid('content', `must have at most ${LIMITS.mcpGuestBodyBytesMax} bytes`);
}

async function list(
  context: ToolContext,
  { name, path, limit = LIMITS.mcpPageDefault, offset = 0 }: Static<typeof ListInput>,
): Promise<GuestFile> {
  const parameters = { format: 'list', limit: String(limit), offset: String(offset) };
  const { text } = await ask(context, name, path, parameters, {
    method: 'GET',
    answerBytesMax: LIMITS.mcpFileListBytesMax,
  });
  return factsIn(text);
}

const problemsOf = compileValidator(GuestFileSchema);

/** The guest's root may have replaced the agent. Throws AGENT_UNREACHABLE for an answer of another form. */
function factsIn(text: string): GuestFile {
  try {
    const value: unknown = JSON.parse(text);
    if (problemsOf(value) === null) return value as GuestFile;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new VolantError('AGENT_UNREACHABLE', 'The agent did not answer correctly');
}

/** Throws the error that the agent answers, but for a part that is not there. */
async function ask(
  { engine, gone }: ToolContext,
  name: string,
  path: string,
  parameters: Readonly<Record<string, string>>,
  question: Omit<GuestQuestion, 'path' | 'timeoutMs'>,
): Promise<GuestAnswer> {
  const problem = placeProblem(path);
  if (problem !== null) throw invalid('path', problem);
  const answer = await askGuest(connectionTo(engine.agents, name), {
    ...question,
    path: agentTarget(path, parameters),
    timeoutMs: LIMITS.actionTimeoutMs,
    signal: gone,
  });
  const { status, text } = answer;
  if (status < 400 || status === 416) return answer;
  throw refusalOf({ status, code: headerIn(answer, 'x-volant-code'), range: '', text });
}

function headerIn({ rawHeaders }: GuestAnswer, name: string): string {
  const at = rawHeaders.findIndex(
    (given, index) => index % 2 === 0 && given.toLowerCase() === name,
  );
  return at < 0 ? '' : (rawHeaders[at + 1] ?? '');
}

function invalid(argument: string, rule: string): VolantError {
  const details = { [argument]: rule };
  return new VolantError('BODY_INVALID', 'The arguments are not valid', { details });
}
