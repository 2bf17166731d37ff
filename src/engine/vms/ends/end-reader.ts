// engine, vms: finds out why a VM ended without a request. Its sources are the process exit, the hypervisor's stderr
// tail, the guest's console and the kernel's OOM counters. Pure functions decide what follows, and other files store
// it.

import type { Clock } from '../../../lib/clock.ts';
import type { Logger } from '../../../lib/log/log.ts';
import type { Boots } from '../../boots/boots.ts';
import type { ProcessHost } from '../../ports/process-ports.ts';
import type { VmRecord, WorkloadExit } from '../../records.ts';
import type { State } from '../../state/state.ts';
import { cgroupNameOf } from '../../vm-record/derived-names.ts';
import { cgroupOf } from '../launch/cgroup-limits.ts';
import {
  type ExitMeaning,
  HUNG_BOOT,
  meaningOfOom,
  meaningWithConsole,
} from '../processes/exit-meaning.ts';
import type { Hypervisors } from '../processes/hypervisors.ts';
import type { Live } from '../processes/live.ts';
import { type ConsoleEvidence, evidenceIn } from './console-evidence.ts';
import { Reboots } from './reboots.ts';
import { exitText, mayExit, verdictIn } from './verdict.ts';

export interface EndReaderParts {
  readonly host: Pick<ProcessHost, 'readConsole' | 'findOomKill'>;
  readonly hypervisors: Pick<Hypervisors, 'meaningOf' | 'stderrTail'>;
  readonly boots: Pick<Boots, 'mayLaunchAgain' | 'wasHung'>;
  readonly state: Pick<State, 'store'>;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly log: Logger;
}

export interface EndReport {
  readonly meaning: ExitMeaning;
  readonly message: string;
  /** Why the VM is launched again; null if it is not. */
  readonly again: 'boot' | 'reboot' | null;
  /** Set if the workload has ended for good. */
  readonly exit?: WorkloadExit;
}

export class EndReader {
  readonly #parts: EndReaderParts;
  readonly #reboots = new Reboots();

  constructor(parts: EndReaderParts) {
    this.#parts = parts;
  }

  /**
   * How a hypervisor ended. Call it while the run directory still exists. A source that cannot be read is left out; but
   * this rejects if the console of a workload that ends cannot be read, because it alone has the exit code.
   */
  async read(
    record: VmRecord,
    { end, vm, oom }: Pick<Live, 'end' | 'vm' | 'oom'>,
  ): Promise<EndReport> {
    const { hypervisors, boots, clock } = this.#parts;
    const seen: ExitMeaning =
      end === null || 'missed' in end
        ? (end?.missed ?? { status: 'crashed', message: 'The hypervisor is gone' })
        : vm !== null && boots.wasHung(vm)
          ? HUNG_BOOT
          : hypervisors.meaningOf(record, vm, end.exit);
    if (seen.badBoot === true && vm !== null && boots.mayLaunchAgain(vm)) {
      return { meaning: seen, message: seen.message, again: 'boot' };
    }
    if (oom !== null) return { meaning: oom, message: oom.message, again: null };
    const exit = seen.status === 'stopped' ? await this.#exitOf(record) : null;
    if (exit !== null) {
      const message = `The workload ${exitText(exit)}`;
      return { meaning: { status: 'stopped', message }, message, again: null, exit };
    }
    if (seen.status === 'stopped' && seen.needsConsole !== true) {
      return { meaning: seen, message: seen.message, again: null };
    }
    const evidence = await this.#console(record);
    const meaning = meaningWithConsole(seen, evidence.end);
    if (meaning.reboots !== true) return this.#ended(record, meaning, evidence);
    if (this.#reboots.mayLaunchAgain(record.id, clock.monotonicMs())) {
      return {
        meaning,
        message: `${meaning.message}: it is being launched again`,
        again: 'reboot',
      };
    }
    const message = 'The guest rebooted too often within a short time, so it is not launched again';
    return { meaning: { ...meaning, reason: 'RebootsTooOften' }, message, again: null };
  }

  /**
   * The meaning of the end if the kernel killed the hypervisor for lack of memory; null if it did not or if this is
   * unknown. Call it before the cgroup is removed.
   */
  async oomOf(record: VmRecord, end: Live['end']): Promise<ExitMeaning | null> {
    const { host, log } = this.#parts;
    const mayBe = end !== null && ('missed' in end || end.exit.signal === 'SIGKILL');
    if (!mayBe || ('missed' in end && end.missed.status !== 'crashed')) return null;
    try {
      const evidence = await host.findOomKill(cgroupNameOf(record.id));
      // While no daemon ran, an OOM kill counted for the host may have hit any process.
      const isKnown = !('missed' in end);
      const { memoryBytesMax } = cgroupOf(record);
      return meaningOfOom(
        { ...evidence, isNewOnHost: isKnown && evidence.isNewOnHost },
        memoryBytesMax,
      );
    } catch (error) {
      log.warn({ vm: record.name, err: error }, 'OOM counters could not be read');
      return null;
    }
  }

  /** Drops the reboot history of a removed VM. */
  forget(vmId: number): void {
    this.#reboots.forget(vmId);
  }

  /** How the workload ended for good; null if it did not, or if the manifest of the launch does not let it. */
  async #exitOf({ id, launchedConfigVersion }: VmRecord): Promise<WorkloadExit | null> {
    const { state, host } = this.#parts;
    const manifest = state.store.config(id, launchedConfigVersion)?.config.manifest;
    if (manifest === undefined || !mayExit(manifest)) return null;
    const console = await host.readConsole(id);
    return evidenceIn(console).end === 'panicked' ? null : verdictIn(console);
  }

  async #ended(
    record: VmRecord,
    meaning: ExitMeaning,
    evidence: ConsoleEvidence,
  ): Promise<EndReport> {
    if (meaning.status === 'stopped') return { meaning, message: meaning.message, again: null };
    const [last] = (await this.#parts.hypervisors.stderrTail(record.id)).slice(-1);
    const parts = [meaning.message, last, evidence.line].filter((text) => text != null);
    return { meaning, message: parts.join(': '), again: null };
  }

  async #console({ id, name }: VmRecord): Promise<ConsoleEvidence> {
    try {
      return evidenceIn(await this.#parts.host.readConsole(id));
    } catch (error) {
      this.#parts.log.warn({ vm: name, err: error }, 'the console of a VM could not be read');
      return { end: null, line: null };
    }
  }
}
