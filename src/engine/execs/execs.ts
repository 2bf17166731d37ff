// engine, execs: programs that are run in guests. The agent in the guest keeps the process, its output and its exit status; the
// daemon relays, and remembers in memory what it has seen, to report an exec that was lost with its VM.

import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { LIMITS } from '../../config/limits.ts';
import { VolantError } from '../../lib/errors.ts';
import { type CreateExec, EXEC_ID_PATTERN, type Exec, inputOf } from '../../schema/exec.ts';
import { execProblems } from '../../schema/rules/exec-rules.ts';
import type {
  AgentApi,
  ExecApi,
  ExecAttachOptions,
  ExecReader,
  ExecResult,
  ExecSession,
} from '../engine-api.ts';
import type { RunningGuests } from '../guests/running-guests.ts';
import type { AgentConnection } from '../ports/hypervisor-ports.ts';
import type { VmRecord } from '../records.ts';
import type { State } from '../state/state.ts';
import { stateConflict } from '../vm-record/status.ts';
import { askAgent, type ExecQuestion, errorIn, execOf, refusedStatusIn } from './exec-agent.ts';
import { ExecAttachment } from './exec-attachment.ts';
import { ExecMemory } from './exec-memory.ts';
import { NewestBytes } from './newest-bytes.ts';

const ID_BYTES = 8;

const IS_ID = new RegExp(EXEC_ID_PATTERN);

export interface ExecsParts {
  readonly state: Pick<State, 'require' | 'vms'>;
  readonly live: Pick<RunningGuests, 'runningVm'>;
  readonly agents: Pick<AgentApi, 'connection'>;
}

export class Execs implements ExecApi {
  readonly #parts: ExecsParts;
  readonly #memory = new ExecMemory();

  constructor(parts: ExecsParts) {
    this.#parts = parts;
    parts.state.vms.watch((vmId, record) => this.#memory.recordChanged(vmId, record));
  }

  async create(vmName: string, request: CreateExec): Promise<Exec> {
    const exec = await this.#start(vmName, request);
    const input = inputOf(request);
    if (input === undefined || exec.state !== 'running') return exec;
    try {
      this.#feed(vmName, exec.id, request);
    } catch (error) {
      return this.#giveUp(vmName, exec.id, error);
    }
    return exec;
  }

  async run(
    vmName: string,
    request: CreateExec,
    { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<ExecResult> {
    const { id } = await this.#start(vmName, request);
    const output = {
      stdout: new NewestBytes(LIMITS.execAnswerBytesMax),
      stderr: new NewestBytes(LIMITS.execAnswerBytesMax),
    };
    let isAttached = false;
    const ending = new Promise<Exec>((resolve, reject) => {
      const settle = (act: () => void) => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', leave);
        session.end();
        act();
      };
      const leave = () => {
        const why = `Exec ${id} of VM ${vmName} has not ended during the wait; it continues`;
        settle(() => reject(new VolantError('WAIT_TIMEOUT', why, { details: { exec: id } })));
      };
      let timer: NodeJS.Timeout | undefined;
      const session = this.attach(
        vmName,
        id,
        { stdout: 0, stderr: 0, until: 'end-only' },
        {
          onOutput: (stream, _offset, bytes) => output[stream].add(bytes),
          onTaken: () => undefined,
          onEnd: (ended) => settle(() => resolve(ended)),
          onBroken: (error) => settle(() => reject(error)),
        },
      );
      isAttached = true;
      // Only now: attach() may throw, and a timer of its own would be left.
      timer = setTimeout(leave, timeoutMs);
      signal?.addEventListener('abort', leave, { once: true });
      give(session, request);
      if (signal?.aborted) leave();
    });
    const exec = await ending.catch((error) =>
      isAttached ? Promise.reject(error) : this.#giveUp(vmName, id, error),
    );
    return { exec, stdout: output.stdout.contents(), stderr: output.stderr.contents() };
  }

  /** Ends a program that was just started, because its client gets an error and does not know its id. */
  async #giveUp(vmName: string, id: string, why: unknown): Promise<never> {
    // The first error is the one to report, also when the agent cannot be reached any more.
    await this.remove(vmName, id).catch(() => undefined);
    throw why;
  }

  async list(vmName: string): Promise<readonly Exec[]> {
    const { id: vmId } = this.#parts.state.require(vmName);
    const agent = this.#agentIfRunning(vmName);
    if (agent === null) return this.#memory.all(vmId);
    const answer = await this.#ask(vmName, agent, { method: 'GET', path: '' });
    const items = answer.status === 200 && Array.isArray(answer.value) ? answer.value : [];
    const known = items.flatMap((item) => execOf(vmName, item) ?? []);
    for (const exec of known) this.#remember(vmName, exec);
    const kept = new Set(known.map(({ id }) => id));
    const gone = this.#memory
      .all(vmId)
      .filter(({ id, state }) => state === 'lost' && !kept.has(id));
    return [...gone, ...known];
  }

  async get(vmName: string, id: string): Promise<Exec> {
    const { id: vmId } = this.#vmOf(vmName, id);
    const remembered = this.#memory.get(vmId, id);
    if (remembered?.state === 'lost') return remembered;
    const agent = this.#agentIfRunning(vmName);
    if (agent === null) return remembered ?? notFound(vmName, id);
    const answer = await this.#ask(vmName, agent, { method: 'GET', path: `/${id}` }, id);
    const exec = execOf(vmName, answer.value);
    if (exec === null) throw new VolantError('AGENT_UNREACHABLE', 'The agent described no exec');
    return this.#remember(vmName, exec);
  }

  async remove(vmName: string, id: string): Promise<void> {
    const { id: vmId } = this.#vmOf(vmName, id);
    if (this.#memory.get(vmId, id)?.state === 'lost') {
      this.#memory.forget(vmId, id);
      return;
    }
    const agent = this.#parts.agents.connection(vmName);
    await this.#ask(vmName, agent, { method: 'DELETE', path: `/${id}` }, id);
    this.#memory.forget(vmId, id);
  }

  async signal(vmName: string, id: string, number: number): Promise<void> {
    await this.#change(vmName, id, `signal?number=${number}`);
  }

  async resize(vmName: string, id: string, rows: number, columns: number): Promise<void> {
    await this.#change(vmName, id, `resize?rows=${rows}&columns=${columns}`);
  }

  attach(vmName: string, id: string, options: ExecAttachOptions, reader: ExecReader): ExecSession {
    const record = this.#vmOf(vmName, id);
    const lost = this.#memory.get(record.id, id);
    if (lost?.state === 'lost') throw lostError(vmName, id);
    const stream = this.#parts.agents.connection(vmName).openExec();
    const session = new ExecAttachment(stream, id, options, {
      onFrame: (frame) => {
        if (frame.type === 'taken') return reader.onTaken(frame.taken, frame.isOpen);
        if (frame.type !== 'end') return reader.onOutput(frame.type, frame.offset, frame.bytes);
        const exec = parsedExec(vmName, frame.text);
        session.end();
        if (exec !== null) reader.onEnd(this.#remember(vmName, exec));
        else reader.onBroken(new VolantError('AGENT_UNREACHABLE', 'The agent described no exec'));
      },
      onLost: (status, cause) => {
        void this.#explainLoss(record.id, vmName, id, status, cause).then((end) => {
          if (end instanceof VolantError) reader.onBroken(end);
          else reader.onEnd(end);
        });
      },
    });
    return session;
  }

  /** The VM of an exec. The id becomes a part of paths. */
  #vmOf(vmName: string, id: string): VmRecord {
    const record = this.#parts.state.require(vmName);
    return IS_ID.test(id) ? record : notFound(vmName, id);
  }

  /** Starts it once, however often the request is sent: the id is chosen here. */
  async #start(vmName: string, request: CreateExec): Promise<Exec> {
    const details = execProblems(request);
    if (Object.keys(details).length > 0) {
      throw new VolantError('BODY_INVALID', undefined, { details });
    }
    const agent = await this.#agentSoon(vmName);
    const body = commandOf(randomBytes(ID_BYTES).toString('hex'), request);
    const answer = await this.#ask(vmName, agent, { method: 'POST', path: '', body });
    const { status } = answer;
    if (status === 404) {
      const why = `The agent in VM ${vmName} is of an older image, which runs no programs`;
      throw new VolantError('EXEC_UNAVAILABLE', why);
    }
    if (status === 422) {
      const exitStatus = refusedStatusIn(answer);
      const why = `The program could not be executed in VM ${vmName}: ${errorIn(answer)}`;
      throw new VolantError('EXEC_NOT_STARTED', why, {
        details: { exit_code: String(exitStatus), reason: errorIn(answer) },
      });
    }
    if (status === 503 || status === 507) {
      const why = `VM ${vmName} runs no further program: ${errorIn(answer)}`;
      throw new VolantError('OVERLOADED', why, { retryAfterSeconds: 1 });
    }
    const exec = status === 200 || status === 201 ? execOf(vmName, answer.value) : null;
    if (exec !== null) return this.#remember(vmName, exec);
    throw new VolantError('AGENT_UNREACHABLE', `The agent started no program: ${errorIn(answer)}`);
  }

  /** Gives input in the background. It ends with the program, or with the connection to the agent. */
  #feed(vmName: string, id: string, request: CreateExec): void {
    const session = this.attach(
      vmName,
      id,
      { until: 'end' },
      {
        onOutput: () => undefined,
        onTaken: () => session.end(),
        onEnd: () => undefined,
        onBroken: () => undefined,
      },
    );
    give(session, request);
    session.askTaken();
  }

  async #change(vmName: string, id: string, action: string): Promise<void> {
    const { id: vmId } = this.#vmOf(vmName, id);
    if (this.#memory.get(vmId, id)?.state === 'lost') throw lostError(vmName, id);
    const agent = this.#parts.agents.connection(vmName);
    const answer = await this.#ask(vmName, agent, { method: 'POST', path: `/${id}/${action}` }, id);
    if (answer.status === 204) return;
    throw new VolantError('EXEC_ENDED', `Exec ${id} of VM ${vmName}: ${errorIn(answer)}`);
  }

  /** Throws EXEC_NOT_FOUND for an answer of 404 about one exec. */
  async #ask(vmName: string, agent: AgentConnection, question: ExecQuestion, id?: string) {
    const path = `/agent/exec${question.path}`;
    const answer = await askAgent(agent, { ...question, path });
    if (id !== undefined && answer.status === 404) return notFound(vmName, id);
    return answer;
  }

  #remember(vmName: string, exec: Exec): Exec {
    const record = this.#parts.state.vms.recordByName(vmName);
    if (record !== undefined) this.#memory.put(record, exec);
    return exec;
  }

  /** null if the VM does not run; then nothing of its execs is left but what is remembered. */
  #agentIfRunning(vmName: string): AgentConnection | null {
    const { status } = this.#parts.state.require(vmName);
    return status === 'running' ? this.#parts.agents.connection(vmName) : null;
  }

  /** Waits for a guest that boots. */
  async #agentSoon(vmName: string): Promise<AgentConnection> {
    const deadline = AbortSignal.timeout(LIMITS.execAgentWaitMs);
    const { id, status, driver }: VmRecord = this.#parts.state.require(vmName);
    if (status !== 'running') throw stateConflict(vmName, status, 'runs no programs');
    const agent = this.#parts.live.runningVm(id)?.agent ?? null;
    if (agent === null) {
      const why = `VM ${vmName} has no agent: its hypervisor, ${driver}, has not connected one`;
      throw new VolantError('EXEC_UNAVAILABLE', why);
    }
    try {
      await agent.ready(deadline);
    } catch (cause) {
      const seconds = LIMITS.execAgentWaitMs / 1000;
      const why = `The agent of VM ${vmName} has not answered within ${seconds} s: the guest still boots, or has no agent`;
      throw new VolantError('EXEC_UNAVAILABLE', why, { cause });
    }
    return this.#parts.agents.connection(vmName);
  }

  /** The exec as lost if its VM has ended; otherwise why the connection to it was lost. */
  async #explainLoss(
    vmId: number,
    vmName: string,
    id: string,
    status: number,
    cause: Error,
  ): Promise<Exec | VolantError> {
    if (status === 404) return notFoundError(vmName, id);
    // The channel is lost before the end of the hypervisor is observed.
    const untilMs = performance.now() + LIMITS.logEndGraceMs;
    for (;;) {
      const known = this.#memory.get(vmId, id);
      if (known?.state === 'lost') return known;
      if (this.#parts.state.vms.recordByName(vmName)?.id !== vmId) return lostError(vmName, id);
      if (performance.now() >= untilMs) break;
      await pause(LIMITS.execEndCheckMs);
    }
    const why = `The connection to exec ${id} of VM ${vmName} was lost`;
    return new VolantError('AGENT_UNREACHABLE', why, { cause, retryAfterSeconds: 1 });
  }
}

/** Gives a program its input, and ends that unless it stays open. */
function give(session: ExecSession, request: CreateExec): void {
  const input = inputOf(request);
  if (input === undefined) return;
  session.input(input);
  if (request.stdin_open !== true) session.closeInput();
}

/** The request in the form of the agent. */
function commandOf(id: string, request: CreateExec): object {
  const { argv, command = '', env, workdir, user, tty = false, rows, columns } = request;
  return {
    id,
    argv: argv ?? ['/bin/sh', '-c', command],
    ...(env === undefined ? {} : { env }),
    ...(workdir === undefined ? {} : { workdir }),
    ...(user === undefined ? {} : { user }),
    ...(rows === undefined ? {} : { rows }),
    ...(columns === undefined ? {} : { columns }),
    tty,
    stdin: request.stdin_open === true || inputOf(request) !== undefined,
    timeout_ms: request.timeout_ms ?? 0,
    kill_after_ms: request.kill_after_ms ?? LIMITS.execKillAfterMs,
    output_bytes_max: request.output_limit_bytes ?? LIMITS.execOutputBytes,
  };
}

function parsedExec(vmName: string, text: string): Exec | null {
  try {
    return execOf(vmName, JSON.parse(text));
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

function notFoundError(vmName: string, id: string): VolantError {
  const why = `VM ${vmName} has no exec ${id}: there was none, or the guest keeps it no longer`;
  return new VolantError('EXEC_NOT_FOUND', why);
}

function notFound(vmName: string, id: string): never {
  throw notFoundError(vmName, id);
}

function lostError(vmName: string, id: string): VolantError {
  return new VolantError('EXEC_ENDED', `Exec ${id} was lost when the guest of VM ${vmName} ended`);
}
