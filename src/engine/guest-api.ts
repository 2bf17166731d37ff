// engine: the parts of the engine's interface for http that reach into guests: agents and execs, as types.

import type { VolantError } from '../lib/errors.ts';
import type { CreateExec, Exec } from '../schema/exec.ts';
import type { AgentConnection } from './ports/hypervisor-ports.ts';

/** The HTTP request by which an action is asked of a VM's agent. */
export interface ActionCall {
  readonly agent: AgentConnection;
  readonly method: string;
  readonly path: string;
  readonly timeoutMs: number;
}

export interface AgentApi {
  /** The channel to a VM's agent. Throws VM_NOT_FOUND, VM_STATE_CONFLICT or AGENT_UNREACHABLE. */
  connection(vmName: string): AgentConnection;
  /** Throws what connection() throws, ACTION_NOT_FOUND or PLUGIN_DISABLED. */
  action(vmName: string, plugin: string, action: string): ActionCall;
  /** The base_url of the workload that the VM was launched with; null if it has none, or there is no such VM. */
  workloadUrl(vmName: string): string | null;
}

/** Which output of an exec a connection gets: from these offsets on; none of a stream whose offset is absent. */
export interface ExecAttachOptions {
  readonly stdout?: number;
  readonly stderr?: number;
  /**
   * `now`: what there is. `end`: everything until the end of the program, which waits for a reader that does not read.
   * `end-only`: what is kept at the end of the program.
   */
  readonly until: 'now' | 'end' | 'end-only';
}

/** A client that is connected to an exec. */
export interface ExecReader {
  /** An offset that is larger than expected means that bytes were lost before. */
  onOutput(stream: 'stdout' | 'stderr', offset: number, bytes: Buffer): void;
  /** Standard input has taken this many bytes of the connection so far. `isOpen` is false if it takes no more. */
  onTaken(taken: number, isOpen: boolean): void;
  /** The last call: everything was sent. The exec is lost if its VM has ended. */
  onEnd(exec: Exec): void;
  /** The last call: the connection was lost. */
  onBroken(error: VolantError): void;
}

export interface ExecSession {
  /** The caller bounds what it has sent and `onTaken` has not confirmed. */
  input(bytes: Uint8Array): void;
  closeInput(): void;
  /** `onTaken` follows when everything before was taken. */
  askTaken(): void;
  resize(rows: number, columns: number): void;
  signal(number: number): void;
  pause(): void;
  resume(): void;
  /** Ends the connection. The reader is not called any more, and the program continues. */
  end(): void;
}

export interface ExecResult {
  readonly exec: Exec;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

/**
 * Programs that are run in guests. Every call throws VM_NOT_FOUND, and VM_STATE_CONFLICT, AGENT_UNREACHABLE or OVERLOADED
 * as AgentConnection does.
 */
export interface ExecApi {
  /** Resolves when it was executed. Throws BODY_INVALID, EXEC_UNAVAILABLE or EXEC_NOT_STARTED. */
  create(vmName: string, request: CreateExec): Promise<Exec>;
  /**
   * As create(), and resolves when it has ended, with its newest output. Throws WAIT_TIMEOUT, while it continues; so it
   * does when the signal aborts.
   */
  run(
    vmName: string,
    request: CreateExec,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<ExecResult>;
  /** Oldest first. */
  list(vmName: string): Promise<readonly Exec[]>;
  /** Throws EXEC_NOT_FOUND. */
  get(vmName: string, id: string): Promise<Exec>;
  /** Kills the program if it runs. Throws EXEC_NOT_FOUND. */
  remove(vmName: string, id: string): Promise<void>;
  /** Throws EXEC_NOT_FOUND or EXEC_ENDED. */
  signal(vmName: string, id: string, number: number): Promise<void>;
  /** Throws EXEC_NOT_FOUND, or EXEC_ENDED if it has no terminal. */
  resize(vmName: string, id: string, rows: number, columns: number): Promise<void>;
  /** Connects to an exec. `onBroken` has EXEC_NOT_FOUND if there is none. Throws EXEC_ENDED if it is lost. */
  attach(vmName: string, id: string, options: ExecAttachOptions, reader: ExecReader): ExecSession;
}
