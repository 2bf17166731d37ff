// engine, vms: finds out how a VM ended that nobody has ended: from its process, its hypervisor's last words, its guest's
// console and what the kernel says of memory. What follows from it is decided by pure functions and written down elsewhere.

import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { Boots } from '../boots/boots.ts';
import { cgroupNameOf } from '../identity.ts';
import type { HostPort } from '../ports.ts';
import type { VmRecord } from '../records.ts';
import { cgroupOf } from './cgroup-limits.ts';
import { type ConsoleWords, wordsIn } from './console-words.ts';
import { type ExitMeaning, meaningOfOom, meaningWithConsole } from './exit-meaning.ts';
import type { Hypervisors } from './hypervisors.ts';
import type { Live } from './live.ts';
import { Reboots } from './reboots.ts';

export interface EndReaderParts {
  readonly host: Pick<HostPort, 'readConsole' | 'findOomKill'>;
  readonly hypervisors: Pick<Hypervisors, 'meaningOf' | 'lastWords'>;
  readonly boots: Pick<Boots, 'mayLaunchAgain'>;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly log: Logger;
}

export interface EndStory {
  readonly meaning: ExitMeaning;
  readonly message: string;
  /** Why it is launched again; null: it is not. */
  readonly again: 'clock' | 'reboot' | null;
}

export class EndReader {
  readonly #parts: EndReaderParts;
  readonly #reboots = new Reboots();

  constructor(parts: EndReaderParts) {
    this.#parts = parts;
  }

  /** How a hypervisor ended. Its run directory must still be there; what cannot be read is left out. */
  async read(
    record: VmRecord,
    { end, vm, oom }: Pick<Live, 'end' | 'vm' | 'oom'>,
  ): Promise<EndStory> {
    const { hypervisors, boots, clock } = this.#parts;
    const seen: ExitMeaning =
      end === null || 'missed' in end
        ? (end?.missed ?? { status: 'crashed', message: 'The hypervisor is gone' })
        : hypervisors.meaningOf(vm, end.exit);
    if (seen.brokenClock === true && vm !== null && boots.mayLaunchAgain(vm)) {
      return { meaning: seen, message: seen.message, again: 'clock' };
    }
    if (oom !== null) return { meaning: oom, message: oom.message, again: null };
    if (seen.status === 'stopped' && seen.isOpen !== true) {
      return { meaning: seen, message: seen.message, again: null };
    }
    const words = await this.#console(record);
    const meaning = meaningWithConsole(seen, words.end);
    if (meaning.reboots !== true) return this.#ended(record, meaning, words);
    if (this.#reboots.mayLaunchAgain(record.id, clock.monotonicMs())) {
      return { meaning, message: `${meaning.message}: it is launched again`, again: 'reboot' };
    }
    const message = 'The guest rebooted again and again, and is not launched any more';
    return { meaning: { ...meaning, reason: 'RebootsTooOften' }, message, again: null };
  }

  /**
   * Whether the kernel has killed it for want of memory. To be asked before its cgroup is removed. null: it has not, or
   * that is not known.
   */
  async oomOf(record: VmRecord, end: Live['end']): Promise<ExitMeaning | null> {
    const { host, log } = this.#parts;
    const mayBe = end !== null && ('missed' in end || end.exit.signal === 'SIGKILL');
    if (!mayBe || ('missed' in end && end.missed.status !== 'crashed')) return null;
    try {
      const evidence = await host.findOomKill(cgroupNameOf(record.id));
      // What the host has killed while no daemon ran may have been anybody.
      const isKnown = !('missed' in end);
      const { memoryBytesMax } = cgroupOf(record);
      return meaningOfOom(
        { ...evidence, isNewOnHost: isKnown && evidence.isNewOnHost },
        memoryBytesMax,
      );
    } catch (error) {
      log.warn({ vm: record.name, err: error }, 'it is not known whether memory was wanting');
      return null;
    }
  }

  forget(vmId: number): void {
    this.#reboots.forget(vmId);
  }

  async #ended(record: VmRecord, meaning: ExitMeaning, words: ConsoleWords): Promise<EndStory> {
    if (meaning.status === 'stopped') return { meaning, message: meaning.message, again: null };
    const [last] = (await this.#parts.hypervisors.lastWords(record.id)).slice(-1);
    const said = [meaning.message, last, words.line].filter((text) => text != null);
    return { meaning, message: said.join(': '), again: null };
  }

  async #console({ id, name }: VmRecord): Promise<ConsoleWords> {
    try {
      return wordsIn(await this.#parts.host.readConsole(id));
    } catch (error) {
      this.#parts.log.warn({ vm: name, err: error }, 'the console of a VM could not be read');
      return { end: null, line: null };
    }
  }
}
