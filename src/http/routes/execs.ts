// http, routes: programs that are run in guests.

import { LIMITS } from '../../config/limits.ts';
import { VolantError } from '../../lib/errors.ts';
import { type CreateExec, signalNumber } from '../../schema/exec.ts';
import { EXEC_ENCODINGS, EXEC_STREAMS, EXEC_WAITS } from '../../schema/operations/execs.ts';
import type { RequestHead } from '../exchange/exchange.ts';
import { Query, throwProblemsOf } from '../exchange/query.ts';
import { empty, json, type Reply } from '../exchange/reply.ts';
import { readOutput, writeInput } from '../guests/execs/exec-output.ts';
import type { HandlerContext, Handlers, StreamHandler } from '../handlers.ts';

const BYTES_TYPE = 'application/octet-stream';
const NO_EVENT_ID = 'must be the id of an event of this stream: two whole numbers joined by "-"';

const streamExec: StreamHandler = ({ engine, caller, execStreams }, head, exchange) => {
  const { parameters: [vmName = '', id = ''] = [] } = head;
  const query = new Query(head.query);
  const asked = { stdout: query.count('stdout') ?? 0, stderr: query.count('stderr') ?? 0 };
  const encoding = query.choice('encoding', EXEC_ENCODINGS, 'text');
  const resumed = positionOf(head.headers['last-event-id'] ?? '');
  throwProblemsOf(query, resumed);
  const question = { vmName, id, ...(resumed.position ?? asked), encoding };
  execStreams.open(exchange, caller, engine.execs, question);
};

/** Where the id of an event says to continue; no position for an empty text. */
function positionOf(lastEventId: string) {
  if (lastEventId === '') return { problems: {} };
  const [, stdout, stderr] = /^(\d{1,15})-(\d{1,15})$/.exec(lastEventId) ?? [];
  if (stdout === undefined) return { problems: { 'Last-Event-ID': NO_EVENT_ID } };
  return { problems: {}, position: { stdout: Number(stdout), stderr: Number(stderr) } };
}

export const execRoutes = {
  createExec: async (context, head, body, client) => {
    const [vmName = ''] = head.parameters;
    const request = body as CreateExec;
    const query = new Query(head.query);
    const wait = query.decision('wait', EXEC_WAITS, 'started');
    const timeoutMs = query.count('timeout', LIMITS.waitTimeoutMaxMs) ?? LIMITS.waitTimeoutMs;
    const encoding = query.choice('encoding', EXEC_ENCODINGS, 'text');
    query.throwProblems();
    const { engine, waits, caller } = context;
    if (wait === 'started') return json(201, await engine.execs.create(vmName, request));
    const { exec, stdout, stderr } = await waits.during(
      caller,
      client ?? { onAborted: () => undefined },
      ({ ending }) => engine.execs.run(vmName, request, { timeoutMs, signal: ending }),
    );
    const form = encoding === 'text' ? 'utf8' : 'base64';
    return json(200, { ...exec, stdout: stdout.toString(form), stderr: stderr.toString(form) });
  },
  listExecs: async ({ engine }, { parameters: [vmName = ''] }) =>
    json(200, await engine.execs.list(vmName)),
  getExec: async ({ engine }, { parameters: [vmName = '', id = ''] }) =>
    json(200, await engine.execs.get(vmName, id)),
  deleteExec: async ({ engine }, { parameters: [vmName = '', id = ''] }) => {
    await engine.execs.remove(vmName, id);
    return empty(204);
  },
  getExecOutput: (context, head) => output(context, head),
  streamExec: { stream: streamExec },
  writeExecInput: {
    raw: async ({ engine }, { parameters: [vmName = '', id = ''], query: text }, body) => {
      const query = new Query(text);
      const closes = query.flag('close');
      query.throwProblems();
      return json(200, await writeInput(engine.execs, vmName, id, body, closes));
    },
  },
  signalExec: async ({ engine }, { parameters: [vmName = '', id = ''] }, body) => {
    const { signal } = body as { signal: string };
    const number = signalNumber(signal);
    if (number === null) {
      const details = { signal: 'must be the name or number of a signal, such as SIGINT or 2' };
      throw new VolantError('BODY_INVALID', undefined, { details });
    }
    await engine.execs.signal(vmName, id, number);
    return empty(204);
  },
  resizeExec: async ({ engine }, { parameters: [vmName = '', id = ''] }, body) => {
    const { rows, columns } = body as { rows: number; columns: number };
    await engine.execs.resize(vmName, id, rows, columns);
    return empty(204);
  },
} satisfies Partial<Handlers>;

async function output(
  { engine }: HandlerContext,
  { parameters: [vmName = '', id = ''], query: text }: RequestHead,
): Promise<Reply> {
  const query = new Query(text);
  const question = {
    stream: query.choice('stream', EXEC_STREAMS, 'stdout'),
    offset: query.count('offset') ?? 0,
    bytesMax: query.count('limit', LIMITS.execAnswerBytesMax) ?? LIMITS.execAnswerBytesMax,
    waitMs: query.count('wait', LIMITS.execOutputWaitMaxMs) ?? 0,
  };
  query.throwProblems();
  const { offset, bytes, isEnd } = await readOutput(engine.execs, vmName, id, question);
  const headers = {
    'Volant-Exec-Offset': String(offset),
    'Volant-Exec-Next': String(offset + bytes.length),
    'Volant-Exec-End': String(isEnd),
  };
  return { status: 200, body: '', bytes, contentType: BYTES_TYPE, headers };
}
