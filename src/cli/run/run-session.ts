// cli, run: one run of an image, from the pull to the end of its VM. Whatever ends it, a failure or a signal, the VM is deleted,
// unless it is to stay. What is asked for is in run-request.ts.

import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { ApiError } from '../../client/errors.ts';
import type { CreateExec, CreateVmRequest, Exec, Image, VmWaitFor } from '../../client/types.ts';
import { endAs, startSession, statusOfSignal, type TerminalFlags } from '../exec/attach.ts';
import { type ExecSession, mayComeBack } from '../exec/exec-session.ts';
import { EXIT, PrintedFailure, ProgramStatus } from '../exit.ts';
import type { Shell } from '../shell.ts';
import { withProgress } from '../terminal/progress.ts';
import { copyVolumes, requireSources } from './copy-volumes.ts';
import { execOf, isOfRun, type RunOrder, vmOfNone, vmOfProgram } from './run-request.ts';
import { whyEnded } from './vm-end.ts';

/** How long the VM may take to be ready. An answer that takes longer is cut by Node. */
const READY_WITHIN_MS = 240_000;

/** How long a daemon that does not answer is asked to delete the VM, and the pause between two tries. */
const REMOVE_FOR_MS = 60_000;
const REMOVE_PAUSE_MS = 200;

export class RunSession {
  readonly #shell: Shell;
  readonly #order: RunOrder;
  /** The mark of the VM: one of the same name that another has made is never deleted. */
  readonly #run = randomUUID();
  readonly #cancelled: Promise<never>;
  #reject: (error: Error) => void = () => undefined;
  readonly #pulling = new AbortController();
  #isCancelled = false;
  #isCreating = false;
  #isRemoving = false;
  #program: ExecSession | null = null;
  #interrupts = 0;

  constructor(shell: Shell, order: RunOrder) {
    this.#shell = shell;
    this.#order = order;
    this.#cancelled = new Promise((_, reject) => {
      this.#reject = reject;
    });
    // It may come when nothing waits.
    this.#cancelled.catch(() => undefined);
  }

  /** Runs the program at this terminal, and ends as it ends. `keeps`: the VM stays. */
  attached(flags: TerminalFlags, keeps: boolean): Promise<void> {
    return this.#guarded(async () => {
      let isUsable = false;
      let why = '';
      let exec: Exec;
      try {
        const known = await this.#orCancelled(this.#image());
        const early = known && execOf(this.#order, known);
        await this.#create(vmOfNone(this.#order, this.#run), 'ready');
        const request = early ?? (await this.#orCancelled(this.#exec()));
        await this.#copies();
        isUsable = true;
        exec = await this.#orCancelled(this.#execute(request, flags));
        if (exec.state === 'lost') why = await whyEnded(this.#shell, this.#order.name);
      } catch (error) {
        await this.#end(keeps && isUsable && !this.#isCancelled);
        throw error;
      }
      await this.#end(keeps);
      endAs(this.#shell, exec, why);
    });
  }

  /** Makes the program the workload of a VM that stays, and prints its name. */
  detached(): Promise<void> {
    const { name, volumes } = this.#order;
    return this.#guarded(async () => {
      const order = vmOfProgram(this.#order, this.#run);
      try {
        await this.#orCancelled(this.#image());
        if (volumes.length === 0) await this.#create(order, 'running');
        else await this.#createWithCopies(order);
      } catch (error) {
        await this.#end(false);
        throw error;
      }
      this.#shell.say({ name }, name);
    });
  }

  /** Copies need a guest that runs, and the program needs the copies: the VM boots twice. */
  async #createWithCopies({ config }: CreateVmRequest): Promise<void> {
    const { client, streams } = this.#shell;
    const { name } = this.#order;
    await this.#create(vmOfNone(this.#order, this.#run), 'ready');
    await this.#copies();
    await this.#orCancelled(client.configs.update(name, { manifest: config?.manifest ?? {} }));
    const work = client.vms.restart(name, { wait: 'running' });
    await this.#orCancelled(withProgress(streams.stderr, `Starting ${name}`, work));
  }

  // ---- steps

  /** undefined: the key may make VMs and not pull images, so the VM pulls it itself. */
  async #image(): Promise<Image | undefined> {
    const { client, streams } = this.#shell;
    const { image } = this.#order;
    try {
      return await client.images.get(image);
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== 'IMAGE_NOT_FOUND') throw error;
    }
    try {
      const work = client.images.pull(image, { signal: this.#pulling.signal });
      const media = { events: client.events, name: image };
      return await withProgress(streams.stderr, `Pulling ${image}`, work, media);
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== 'SCOPE_FORBIDDEN') throw error;
      return undefined;
    }
  }

  async #exec(): Promise<CreateExec> {
    return execOf(this.#order, await this.#shell.client.images.get(this.#order.image));
  }

  async #create(request: CreateVmRequest, wait: VmWaitFor): Promise<void> {
    const { client, streams } = this.#shell;
    const { name } = request;
    this.#isCreating = true;
    const options = { wait, waitTimeoutMs: READY_WITHIN_MS, idempotencyKey: this.#run };
    const work = client.vms.create(request, options).finally(() => {
      this.#isCreating = false;
    });
    const media = { events: client.events, name };
    await this.#orCancelled(withProgress(streams.stderr, `Starting ${name}`, work, media));
  }

  #copies(): Promise<void> {
    return this.#orCancelled(copyVolumes(this.#shell, this.#order.name, this.#order.volumes));
  }

  async #execute(request: CreateExec, flags: TerminalFlags): Promise<Exec> {
    const program = await startSession(this.#shell, this.#order.name, request, flags);
    if (this.#isCancelled) program.leave();
    this.#program = program;
    try {
      return await program.run();
    } catch (error) {
      // After a restart of the daemon nobody knows the program of a guest that has ended meanwhile.
      const isOver = error instanceof ApiError && [404, 409].includes(error.status);
      if (this.#isCancelled || !isOver) throw error;
      const why = await whyEnded(this.#shell, this.#order.name);
      this.#shell.note(`volar: ${why}`);
      throw new PrintedFailure(why);
    }
  }

  // ---- the end

  /** A failure to delete the VM is reported beside the result, which it does not change. */
  async #end(keeps: boolean): Promise<void> {
    const { name } = this.#order;
    if (keeps) return this.#shell.note(`volar: VM ${name} is kept`);
    this.#interrupts = 0;
    this.#isRemoving = true;
    try {
      await this.#remove();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#shell.note(`volar: VM ${name} may be left: ${why}`);
    }
  }

  /** Resolves when there is no VM of this run, and none will be. */
  async #remove(): Promise<void> {
    const untilMs = performance.now() + REMOVE_FOR_MS;
    for (;;) {
      try {
        if (await this.#isThere()) {
          await this.#shell.client.vms.destroy(this.#order.name, { graceSeconds: 0 });
          return;
        }
        // A create that is under way may still make it.
        if (!this.#isCreating) return;
      } catch (error) {
        const isGone = error instanceof ApiError && error.status === 404;
        if (!isGone && !mayComeBack(error)) throw error;
        if (performance.now() > untilMs) throw error;
      }
      await pause(REMOVE_PAUSE_MS);
    }
  }

  async #isThere(): Promise<boolean> {
    try {
      const { config } = await this.#shell.client.configs.get(this.#order.name);
      return isOfRun(config.metadata, this.#run);
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return false;
      throw error;
    }
  }

  // ---- signals

  async #guarded(work: () => Promise<void>): Promise<void> {
    await requireSources(this.#order.volumes);
    const { streams, interrupts } = this.#shell;
    const byTerm = () => this.#cancel(statusOfSignal('SIGTERM'));
    const byHangUp = () => this.#cancel(statusOfSignal('SIGHUP'));
    // Nobody reads the output any more. A terminal that is gone is the same.
    const byPipe = () => this.#cancel(statusOfSignal('SIGPIPE'));
    streams.once?.('SIGTERM', byTerm);
    streams.once?.('SIGHUP', byHangUp);
    // It stays: without a listener the signal would end the process, where Node ignores it otherwise.
    streams.on?.('SIGPIPE', byPipe);
    streams.stderr.on('error', byPipe);
    try {
      await interrupts.during({ instead: () => this.#interrupted() }, work());
    } finally {
      streams.off?.('SIGTERM', byTerm);
      streams.off?.('SIGHUP', byHangUp);
      streams.stderr.off('error', byPipe);
    }
  }

  /** The first Ctrl-C is for the program, if it runs; the next one ends the run. false: volar ends at once. */
  #interrupted(): boolean {
    this.#interrupts += 1;
    // The VM is being deleted. Only who insists does not wait for it.
    if (this.#isRemoving) return this.#interrupts === 1;
    if (this.#interrupts === 1 && this.#program?.kill('SIGINT') === true) return true;
    this.#cancel(EXIT.interrupted);
    return true;
  }

  #cancel(status: number): void {
    this.#isCancelled = true;
    this.#reject(new ProgramStatus(status));
    this.#pulling.abort();
    this.#program?.leave();
  }

  #orCancelled<T>(work: Promise<T>): Promise<T> {
    return Promise.race([this.#cancelled, work]);
  }
}
