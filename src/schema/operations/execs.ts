// schema, operations: programs that are run in guests. WebSockets to them have no place in this table; docs/exec.md describes
// them.

import { Type } from 'typebox';
import { LIMITS } from '../../config/limits.ts';
import {
  CreateExecSchema,
  ExecInputSchema,
  ExecResultSchema,
  ExecSchema,
  ExecSignalSchema,
  ExecSizeSchema,
} from '../exec.ts';
import { Int64, OneOf } from '../parts.ts';
import { errors, type Operation, type QueryParameter } from './operation.ts';

export const EXEC_WAITS = ['started', 'exit'] as const;

export const EXEC_ENCODINGS = ['text', 'base64'] as const;

export const EXEC_STREAMS = ['stdout', 'stderr'] as const;

const ENCODING: QueryParameter = {
  name: 'encoding',
  description:
    'Of output in JSON: text (default; bytes that are not UTF-8 become U+FFFD) or base64',
  schema: OneOf(EXEC_ENCODINGS, 'How bytes are written'),
};

const ONE = '/api/v1/vms/{name}/exec/{id}';

const NUMBER = (description: string) => ({ description, schema: Int64() });

export const EXEC_OPERATIONS = {
  createExec: {
    scope: 'operate',
    method: 'POST',
    path: '/api/v1/vms/{name}/exec',
    tags: ['exec'],
    summary: 'Run a program in a VM',
    description: `Answers when the program was executed, or with wait=exit when it has ended, then with its newest output. Waits up to ${LIMITS.execAgentWaitMs / 1000} s for a guest that boots. The program continues when the client disconnects.`,
    query: [
      {
        name: 'wait',
        description: 'started (default): it was executed; exit: it has ended',
        schema: OneOf(EXEC_WAITS, 'How far'),
      },
      {
        name: 'timeout',
        description:
          'Maximum wait for the exit in milliseconds; 408 after it, while the program continues. timeout_ms of the body ends the program',
        schema: Int64({ maximum: LIMITS.waitTimeoutMaxMs }),
      },
      ENCODING,
    ],
    request: { schema: CreateExecSchema, bytesMax: LIMITS.execBodyBytesMax },
    answers: {
      200: { description: 'It has ended (wait=exit)', schema: ExecResultSchema },
      201: { description: 'It runs, or has just ended', schema: ExecResultSchema },
      ...errors(400, 404, 408, 409, 413, 502, 503),
    },
  },
  listExecs: {
    scope: 'read',
    method: 'GET',
    path: '/api/v1/vms/{name}/exec',
    tags: ['exec'],
    summary: 'List the execs of a VM',
    description:
      'Oldest first: those that run, and the newest of those that have ended, as long as the guest keeps them.',
    answers: {
      200: { description: 'Execs', schema: Type.Array(ExecSchema) },
      ...errors(404, 502, 503),
    },
  },
  getExec: {
    scope: 'read',
    method: 'GET',
    path: ONE,
    tags: ['exec'],
    summary: 'Get an exec',
    answers: { 200: { description: 'Exec', schema: ExecSchema }, ...errors(404, 502, 503) },
  },
  deleteExec: {
    scope: 'operate',
    method: 'DELETE',
    path: ONE,
    tags: ['exec'],
    summary: 'Forget an exec',
    description: 'Its process group gets SIGKILL if the program runs.',
    answers: { 204: { description: 'Deleted' }, ...errors(404, 409, 502, 503) },
  },
  getExecOutput: {
    scope: 'read',
    method: 'GET',
    path: `${ONE}/output`,
    tags: ['exec'],
    summary: 'Read output of an exec',
    description:
      'Bytes from an offset on, as they were written. Where they are no longer kept, the answer begins with the oldest that are: Volant-Exec-Offset says where.',
    query: [
      {
        name: 'stream',
        description: 'stdout when absent',
        schema: OneOf(EXEC_STREAMS, 'Which output'),
      },
      { name: 'offset', description: 'Number of the first byte; 0 when absent', schema: Int64() },
      {
        name: 'limit',
        description: `Maximum number of bytes; ${LIMITS.execAnswerBytesMax} when absent`,
        schema: Int64({ minimum: 1, maximum: LIMITS.execAnswerBytesMax }),
      },
      {
        name: 'wait',
        description: 'Milliseconds to wait for the first byte or the end; 0 when absent',
        schema: Int64({ maximum: LIMITS.execOutputWaitMaxMs }),
      },
    ],
    answers: {
      200: {
        description: 'Bytes',
        schema: Type.String({ format: 'binary' }),
        contentType: 'application/octet-stream',
        headers: {
          'Volant-Exec-Offset': NUMBER('Offset of the first byte of the answer'),
          'Volant-Exec-Next': NUMBER('Offset for the next request'),
          'Volant-Exec-End': {
            description: 'true: the program has ended, and there is nothing after these bytes',
            schema: Type.Boolean(),
          },
        },
      },
      ...errors(400, 404, 409, 502, 503),
    },
  },
  streamExec: {
    scope: 'read',
    method: 'GET',
    path: `${ONE}/stream`,
    tags: ['exec'],
    summary: 'Follow the output of an exec',
    description:
      'Server-Sent Events: stdout and stderr with {"offset","data"}, and end with the exec, after which the stream ends. The id of an event is the pair of offsets to continue from, for Last-Event-ID.',
    query: [
      { name: 'stdout', description: 'Offset of the first byte; 0 when absent', schema: Int64() },
      { name: 'stderr', description: 'Offset of the first byte; 0 when absent', schema: Int64() },
      ENCODING,
    ],
    headers: ['last-event-id'],
    headerSchemas: {
      'Last-Event-ID': {
        description: 'The id of the last event that the client has seen, instead of the offsets',
        schema: Type.String({ pattern: '^\\d{1,15}-\\d{1,15}$' }),
      },
    },
    answers: {
      200: {
        description: 'Events',
        schema: Type.String(),
        contentType: 'text/event-stream',
      },
      ...errors(400, 404, 409, 502, 503),
    },
  },
  writeExecInput: {
    scope: 'operate',
    method: 'POST',
    path: `${ONE}/stdin`,
    tags: ['exec'],
    summary: 'Write to the standard input of an exec',
    description: `The body is the input, byte for byte. Answers when the program's standard input has taken it, or with fewer bytes after ${LIMITS.execInputTimeoutMs / 1000} s: send the rest again then.`,
    query: [
      {
        name: 'close',
        description: 'true ends standard input after these bytes, which may be none',
        schema: Type.Boolean(),
      },
    ],
    request: {
      schema: Type.String({ format: 'binary' }),
      contentTypes: ['application/octet-stream'],
      bytesMax: LIMITS.execInputBytesMax,
      raw: true,
    },
    answers: {
      200: { description: 'How much was taken', schema: ExecInputSchema },
      ...errors(400, 404, 409, 413, 502, 503),
    },
  },
  signalExec: {
    scope: 'operate',
    method: 'POST',
    path: `${ONE}/signal`,
    tags: ['exec'],
    summary: 'Send a signal to the process group of an exec',
    request: { schema: ExecSignalSchema, bytesMax: LIMITS.bodyBytesMax },
    answers: { 204: { description: 'Sent' }, ...errors(400, 404, 409, 413, 502, 503) },
  },
  resizeExec: {
    scope: 'operate',
    method: 'POST',
    path: `${ONE}/resize`,
    tags: ['exec'],
    summary: 'Set the size of the terminal of an exec',
    request: { schema: ExecSizeSchema, bytesMax: LIMITS.bodyBytesMax },
    answers: { 204: { description: 'Set' }, ...errors(400, 404, 409, 413, 502, 503) },
  },
} as const satisfies Record<string, Operation>;
