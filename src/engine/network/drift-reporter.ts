// engine, network: reports drift of the network: one sentence and one event for each difference.

import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log/log.ts';
import { otherEvent, vmEvent } from '../events/events.ts';
import type { EventBody } from '../records.ts';
import type { State } from '../state/state.ts';
import {
  keyOf,
  type NetworkDifference,
  type NetworkDifferenceKind,
} from './network-differences.ts';

/** For each kind of difference: what was found, and what was done about it. */
const SENTENCES: Readonly<
  Record<NetworkDifferenceKind, { readonly found: string; readonly done: string }>
> = {
  'bridge-missing': { found: 'Bridge {} was gone', done: 'it was made again' },
  'bridge-down': { found: 'Bridge {} was down', done: 'it is up again' },
  'bridge-address-missing': {
    found: 'The bridge had lost its address {}',
    done: 'it has it again',
  },
  'forwarding-off': { found: 'IP forwarding ({}) was off', done: 'it is on again' },
  'nat-missing': { found: 'The rules for {} were gone', done: 'they were made again' },
  'nat-changed': { found: 'The rules for {} were changed', done: 'they were made again' },
  'filter-missing': { found: 'The {} for guests was gone', done: 'it was made again' },
  'filter-changed': {
    found: 'The {} for guests was not as it should be',
    done: 'it was made again',
  },
  'filter-entry-missing': {
    found: 'The filter blocked frames of {}',
    done: 'it lets them pass again',
  },
  'filter-entry-stray': {
    found: 'The filter let frames of {} pass, which belongs to no VM',
    done: 'it blocks them again',
  },
  'egress-missing': { found: 'The {} of guests were gone', done: 'they were made again' },
  'egress-changed': {
    found: 'The {} of guests were not as they should be',
    done: 'they were made again',
  },
  'egress-entry-wrong': {
    found: 'The guest behind {} was not held to its egress rules',
    done: 'it is held to them again',
  },
  'egress-entry-stray': {
    found: 'There were egress rules for {}, which no VM has',
    done: 'they were removed',
  },
  'ports-missing': { found: 'The rules for {} were gone', done: 'they were made again' },
  'ports-changed': { found: 'The rules for {} were changed', done: 'they were made again' },
  'shard-broken': {
    found: 'Secondary bridge {} was disconnected',
    done: 'it is connected again',
  },
  'tap-missing': {
    found: 'The network card {} of the VM was deleted on the host',
    done: 'restart the VM to give it another one',
  },
  'tap-loose': {
    found: 'The network card {} of the VM was taken off its bridge',
    done: 'it was put back',
  },
  'tap-down': { found: 'The network card {} of the VM was down', done: 'it is up again' },
};

export interface DriftReporterParts {
  readonly state: State;
  /** The name of the main bridge, for events about the network as a whole. */
  readonly networkName: string;
  /** Receives the differences by VM after each check. The network of all other VMs is as wanted. */
  readonly observe: (differing: ReadonlyMap<number, readonly string[]>) => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
}

export class DriftReporter {
  readonly #parts: DriftReporterParts;
  /** Keys of the differences that were reported and are not repaired. */
  #reported: ReadonlySet<string> = new Set();

  constructor(parts: DriftReporterParts) {
    this.#parts = parts;
  }

  /** Reports the result of a check: `repaired` are gone, `left` are all differences that remain. */
  async report(
    repaired: readonly NetworkDifference[],
    left: readonly NetworkDifference[],
  ): Promise<void> {
    const reported = this.#reported;
    await this.#parts.observe(sentencesOf(left));
    // Differences that remain for one VM are reported by its conditions, and so is their end.
    const fresh = left.filter(
      (difference) => difference.vmId === null && !reported.has(keyOf(difference)),
    );
    const wasLeft = ({ vmId }: NetworkDifference, key: string) =>
      vmId !== null && reported.has(key);
    this.#reported = new Set(left.map(keyOf));
    const events = [
      ...repaired
        .filter((difference) => !wasLeft(difference, keyOf(difference)))
        .flatMap((difference) => this.#eventOf(difference, true)),
      ...fresh.flatMap((difference) => this.#eventOf(difference, false)),
    ];
    if (events.length === 0) return;
    const { state, log } = this.#parts;
    const [first] = events;
    log.warn({ count: events.length, first: first?.message }, "drift of the guests' network");
    state.commit([], events).catch((error: unknown) => {
      log.warn({ err: error }, 'events about the network could not be written');
    });
  }

  #eventOf(difference: NetworkDifference, isRepaired: boolean): readonly EventBody[] {
    const { state, networkName, clock } = this.#parts;
    const message = sentenceOf(difference, isRepaired);
    if (difference.vmId === null) {
      const status = isRepaired ? 'repaired' : 'degraded';
      return [otherEvent('HOST_DRIFT', { name: networkName, status }, clock.nowMs(), message)];
    }
    const record = state.find(difference.vmId);
    if (record === undefined) return [];
    return [vmEvent('VM_REPAIRED', { ...record, updatedAtMs: clock.nowMs() }, message)];
  }
}

/** The sentences for each VM that has remaining differences. */
function sentencesOf(left: readonly NetworkDifference[]): ReadonlyMap<number, readonly string[]> {
  const sentences = new Map<number, string[]>();
  for (const difference of left) {
    if (difference.vmId === null) continue;
    const those = sentences.get(difference.vmId) ?? [];
    those.push(sentenceOf(difference, false));
    sentences.set(difference.vmId, those);
  }
  return sentences;
}

/** A difference as a sentence for people. */
export function sentenceOf(difference: NetworkDifference, isRepaired: boolean): string {
  const { found, done } = SENTENCES[difference.kind];
  const fact = found.replace('{}', difference.subject);
  if (isRepaired || difference.remedy === 'restart-vm') return `${fact}: ${done}`;
  return `${fact}, and could not be repaired yet: see the log`;
}
