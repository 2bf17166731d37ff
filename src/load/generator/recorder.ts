// load, generator: what this process measures, by second of the round, until it is sent to the main process.

import { LOAD_LIMITS } from '../load-limits.ts';
import type { OperationOutcome } from '../measure/outcomes.ts';
import { Tally } from '../measure/tally.ts';
import type { Phase } from '../scenario/scenario.ts';
import type { WindowData, WindowEntry } from './protocol.ts';

/** Which operation, and of which phase. */
export interface Subject {
  readonly phase: number;
  readonly kind: WindowEntry['kind'];
  readonly name: string;
}

interface Window {
  started: number;
  starts: number;
  lateStarts: number;
  lateMsMax: number;
  readonly tallies: Map<string, Subject & { readonly part: WindowEntry['part']; tally: Tally }>;
}

export class Recorder {
  readonly #phases: readonly { readonly phase: Phase; readonly startMs: number }[];
  readonly #lateMs: number;
  readonly #windows = new Map<number, Window>();
  readonly #messages = new Set<string>();
  #newMessages: string[] = [];
  #sentBefore = 0;
  starts = 0;
  lateStarts = 0;

  /** All times are since the start of the round. A start that is later than `lateMs` is late. */
  constructor(phases: readonly Phase[], lateMs: number) {
    this.#lateMs = lateMs;
    let startMs = 0;
    this.#phases = phases.map((phase) => {
      const placed = { phase, startMs };
      startMs += phase.durationMs;
      return placed;
    });
  }

  /** A flow of the open model begins. */
  flowStarts(intendedMs: number, startMs: number): void {
    const window = this.#window(startMs);
    const lateMs = startMs - intendedMs;
    const isLate = lateMs > this.#lateMs;
    window.starts += 1;
    window.lateStarts += isLate ? 1 : 0;
    window.lateMsMax = Math.max(window.lateMsMax, lateMs);
    this.starts += 1;
    this.lateStarts += isLate ? 1 : 0;
  }

  stepStarts(startMs: number): void {
    this.#window(startMs).started += 1;
  }

  /** `dueMs`: when the operation was to begin; its latency counts from there. */
  ended(subject: Subject, dueMs: number, endMs: number, outcome: OperationOutcome): void {
    this.#tally(subject, dueMs, endMs).record(outcome, endMs - dueMs);
    if (outcome.kind === 'failed') this.#note(`${subject.name}: ${outcome.message}`);
  }

  skipped(subject: Subject, dueMs: number, nowMs: number, reason: string): void {
    this.#tally(subject, dueMs, nowMs).recordSkipped(reason);
  }

  /** Takes out what lies before this second. */
  takeBefore(second: number): { windows: WindowData[]; messages: string[] } {
    const due = [...this.#windows].filter(([at]) => at < second);
    for (const [at] of due) this.#windows.delete(at);
    const messages = this.#newMessages;
    this.#newMessages = [];
    this.#sentBefore = Math.max(this.#sentBefore, second);
    return { windows: due.map(([at, window]) => toData(at, window)), messages };
  }

  #tally(subject: Subject, dueMs: number, endMs: number): Tally {
    const { tallies } = this.#window(endMs);
    const part = this.#partOf(subject, dueMs);
    const key = `${subject.phase} ${subject.kind} ${subject.name} ${part}`;
    const known = tallies.get(key);
    if (known !== undefined) return known.tally;
    const tally = new Tally();
    tallies.set(key, { ...subject, part, tally });
    return tally;
  }

  #partOf({ phase: index, kind }: Subject, dueMs: number): WindowEntry['part'] {
    const placed = this.#phases[index];
    if (placed?.phase.kind !== 'soak' || kind !== 'step') return null;
    const share = (dueMs - placed.startMs) / placed.phase.durationMs;
    if (share < 0.1) return 'first';
    return share >= 0.9 && share <= 1 ? 'last' : null;
  }

  /** What comes after its second was sent counts in the next one. */
  #window(atMs: number): Window {
    const second = Math.max(this.#sentBefore, Math.floor(atMs / 1000), 0);
    const known = this.#windows.get(second);
    if (known !== undefined) return known;
    const window = { started: 0, starts: 0, lateStarts: 0, lateMsMax: 0, tallies: new Map() };
    this.#windows.set(second, window);
    return window;
  }

  #note(message: string): void {
    const short = message.slice(0, LOAD_LIMITS.messageCharactersMax);
    if (this.#messages.has(short) || this.#messages.size >= LOAD_LIMITS.messagesMax) return;
    this.#messages.add(short);
    this.#newMessages.push(short);
  }
}

function toData(second: number, { tallies, ...counts }: Window): WindowData {
  const entries = [...tallies.values()].map(({ tally, ...rest }) => ({
    ...rest,
    tally: tally.data(),
  }));
  return { second, ...counts, entries };
}
