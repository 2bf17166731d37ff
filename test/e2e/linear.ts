// test helpers: whether what many clients were answered about one VM can have happened one after the other. Each request
// takes effect at one moment between its beginning and its answer; one without an answer does so later, or never.
//
// The search is that of Wing and Gong (1993), with the states that were tried before remembered (Lowe, 2017).

export type State = 'absent' | 'running' | 'stopped' | 'crashed';
export type Kind = 'create' | 'start' | 'stop' | 'restart' | 'delete' | 'crash';

/** done: the answer says so. refused: a 4xx. unknown: no answer, or one that says that it may continue. */
export type Outcome = 'done' | 'refused' | 'unknown';

export interface Call {
  readonly kind: Kind;
  readonly outcome: Outcome;
  readonly startMs: number;
  /** Infinity for one without an answer: it may take effect at any time. */
  readonly endMs: number;
}

/** The state after a request that was carried out; null where it cannot be. */
const EFFECTS: Readonly<Record<Kind, Readonly<Record<State, State | null>>>> = {
  create: { absent: 'running', running: null, stopped: null, crashed: null },
  start: { absent: null, running: null, stopped: 'running', crashed: 'running' },
  stop: { absent: null, running: 'stopped', stopped: 'stopped', crashed: 'stopped' },
  restart: { absent: null, running: 'running', stopped: 'running', crashed: 'running' },
  delete: { absent: null, running: 'absent', stopped: 'absent', crashed: 'absent' },
  crash: { absent: 'absent', running: 'crashed', stopped: 'stopped', crashed: 'crashed' },
};

/** The states that the VM may be in at the end; empty: there is no order in which this can have happened. */
export function possibleEnds(calls: readonly Call[], first: State = 'absent'): ReadonlySet<State> {
  const ordered = [...calls].sort((a, b) => a.startMs - b.startMs);
  const ends = new Set<State>();
  const tried = new Set<string>();
  const open: { readonly done: bigint; readonly state: State }[] = [{ done: 0n, state: first }];
  for (let position = open.pop(); position !== undefined; position = open.pop()) {
    const { done, state } = position;
    const key = `${done} ${state}`;
    if (tried.has(key)) continue;
    tried.add(key);
    const left = ordered.flatMap((call, index) =>
      (done >> BigInt(index)) & 1n ? [] : [{ call, index }],
    );
    if (left.every(({ call }) => call.outcome === 'unknown' || call.kind === 'crash'))
      ends.add(state);
    // What has ended before others began comes before them.
    const earliestEndMs = Math.min(...left.map(({ call }) => call.endMs));
    for (const { call, index } of left) {
      if (call.startMs > earliestEndMs) break;
      const after = done | (1n << BigInt(index));
      for (const next of statesAfter(call, state, ordered)) open.push({ done: after, state: next });
    }
  }
  return ends;
}

function statesAfter(call: Call, state: State, all: readonly Call[]): readonly State[] {
  const effect = EFFECTS[call.kind][state];
  if (call.outcome === 'done') return effect === null ? [] : [effect];
  if (call.outcome === 'unknown') {
    // A start or a create that was given up half-way leaves nothing that runs.
    const halfWay: State[] = call.kind === 'start' || call.kind === 'restart' ? ['stopped'] : [];
    return effect === null ? [state] : [state, effect, ...halfWay];
  }
  // Another request that is on its way is a reason to refuse, too.
  const others = all.filter((other) => other !== call && overlaps(other, call));
  if (others.length === 0) return effect === null ? [state] : [];
  // A launch that a stop or a delete overtook is refused, though the VM was there for a while.
  const isLaunch = call.kind === 'create' || call.kind === 'start' || call.kind === 'restart';
  const isOvertaken = others.some(({ kind }) => kind === 'stop' || kind === 'delete');
  return isLaunch && isOvertaken && effect !== null ? [state, effect] : [state];
}

function overlaps(one: Call, other: Call): boolean {
  return one.startMs <= other.endMs && other.startMs <= one.endMs;
}
