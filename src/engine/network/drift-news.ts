// engine, network: how differences are told: a sentence and an event for each, once.

import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { otherEvent, vmEvent } from '../events.ts';
import type { EventBody } from '../records.ts';
import type { State } from '../state.ts';
import { keyOf, type NetworkDifference, type NetworkDifferenceKind } from './differences.ts';

/** What was found, and what was done about it. */
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
  'nat-changed': { found: 'The rules for {} were changed', done: 'they were made anew' },
  'filter-missing': { found: 'The {} for guests was gone', done: 'it was made again' },
  'filter-changed': {
    found: 'The {} for guests was not as it should be',
    done: 'it was made anew',
  },
  'filter-entry-missing': {
    found: 'The filter did not let pass what {} sends',
    done: 'it does again',
  },
  'filter-entry-stray': {
    found: 'The filter let pass what {} sends, which is nobody’s',
    done: 'it does no more',
  },
  'ports-missing': { found: 'The rules for {} were gone', done: 'they were made again' },
  'ports-changed': { found: 'The rules for {} were changed', done: 'they were made anew' },
  'shard-broken': {
    found: 'Bridge {} for more guests was cut off',
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

export interface DriftNewsParts {
  readonly state: State;
  /** Of the network as a whole: the name of its bridge. */
  readonly networkName: string;
  /** What differs for which VM; of all others the network is in line. */
  readonly see: (differing: ReadonlyMap<number, readonly string[]>) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

export class DriftNews {
  readonly #parts: DriftNewsParts;
  /** What was told and is still so. */
  #told: ReadonlySet<string> = new Set();

  constructor(parts: DriftNewsParts) {
    this.#parts = parts;
  }

  /** `mended` are as they should be again; `left` is all that is not. */
  tell(mended: readonly NetworkDifference[], left: readonly NetworkDifference[]): void {
    const told = this.#told;
    this.#parts.see(sentencesOf(left));
    // What is left for one VM is told with its conditions, and so is that it is over.
    const fresh = left.filter(
      (difference) => difference.vmId === null && !told.has(keyOf(difference)),
    );
    const wasLeft = ({ vmId }: NetworkDifference, key: string) => vmId !== null && told.has(key);
    this.#told = new Set(left.map(keyOf));
    const events = [
      ...mended
        .filter((difference) => !wasLeft(difference, keyOf(difference)))
        .flatMap((difference) => this.#eventOf(difference, true)),
      ...fresh.flatMap((difference) => this.#eventOf(difference, false)),
    ];
    if (events.length === 0) return;
    const { state, log } = this.#parts;
    const [first] = events;
    log.warn({ count: events.length, first: first?.message }, "the guests' network had changed");
    state.commit([], events).catch((error: unknown) => {
      log.warn({ err: error }, 'events about the network could not be written');
    });
  }

  #eventOf(difference: NetworkDifference, isMended: boolean): readonly EventBody[] {
    const { state, networkName, clock } = this.#parts;
    const message = sentenceOf(difference, isMended);
    if (difference.vmId === null) {
      const status = isMended ? 'repaired' : 'degraded';
      return [otherEvent('HOST_DRIFT', { name: networkName, status }, clock.nowMs(), message)];
    }
    const record = state.find(difference.vmId);
    if (record === undefined) return [];
    return [vmEvent('VM_REPAIRED', { ...record, updatedAtMs: clock.nowMs() }, message)];
  }
}

/** For each VM that something is left of, what it is. */
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

/** For a person. */
export function sentenceOf(difference: NetworkDifference, isMended: boolean): string {
  const { found, done } = SENTENCES[difference.kind];
  const fact = found.replace('{}', difference.subject);
  if (isMended || difference.remedy === 'restart-vm') return `${fact}: ${done}`;
  return `${fact}, and could not be mended yet: see the log`;
}
