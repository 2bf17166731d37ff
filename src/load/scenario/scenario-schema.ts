// load, scenario: the form of a scenario file. What its parts must be to each other is in scenario-rules.ts.

import { type Static, type TSchema, Type } from 'typebox';
import { LOAD_LIMITS } from '../load-limits.ts';

const closed = { additionalProperties: false } as const;

const Seconds = (maximum: number, more: object = {}) =>
  Type.Number({ minimum: 0, maximum, ...more });
const PhaseSeconds = Type.Number({ exclusiveMinimum: 0, maximum: LOAD_LIMITS.phaseSecondsMax });
const StepSeconds = Type.Number({
  exclusiveMinimum: 0,
  maximum: LOAD_LIMITS.stepTimeoutSecondsMax,
});
const Words = Type.String({ minLength: 1, maxLength: 100, pattern: '^[^\\u0000-\\u001f]+$' });
/** A name that a threshold can be written with. */
const StepName = Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_-]{0,62}$' });
const Count = (minimum: number, maximum: number) => Type.Integer({ minimum, maximum });
/** Sent to the daemon, which checks it. */
const Passed = Type.Record(Type.String(), Type.Unknown());

const Rate = Type.Number({ minimum: 0, maximum: LOAD_LIMITS.ratePerSecondMax });
const Users = Count(0, LOAD_LIMITS.usersMax);

const VM_UNTIL = ['accepted', 'running', 'ready', 'http'] as const;

/** What a phase has beside its level. */
const PHASE_COMMON = {
  name: Type.Optional(Words),
  duration_seconds: PhaseSeconds,
  /** Closed model: a user pauses this long between two operations. */
  think_seconds: Type.Optional(Seconds(3600)),
};

/** A phase has one of the two: `rate_per_second` for the open model, `users` for the closed one. */
function phase<Kind extends string, Shape extends TSchema, People extends TSchema>(
  kind: Kind,
  rate: Shape,
  users: People,
) {
  return Type.Object(
    {
      kind: Type.Literal(kind),
      ...PHASE_COMMON,
      rate_per_second: Type.Optional(rate),
      users: Type.Optional(users),
    },
    closed,
  );
}

const between = (item: TSchema) => Type.Object({ from: item, to: item }, closed);
const levels = (item: TSchema) => Type.Array(item, { minItems: 1, maxItems: 100 });
const spiked = (item: TSchema) =>
  Type.Object(
    {
      base: item,
      peak: item,
      peak_after_seconds: Seconds(LOAD_LIMITS.phaseSecondsMax),
      peak_seconds: PhaseSeconds,
    },
    closed,
  );

/** By their kind. Poisson arrivals exist in the open model only. */
export const PHASE_SCHEMAS = {
  constant: phase('constant', Rate, Users),
  ramp: phase('ramp', between(Rate), between(Users)),
  step: phase('step', levels(Rate), levels(Users)),
  spike: phase('spike', spiked(Rate), spiked(Users)),
  poisson: phase('poisson', Rate, Type.Never()),
  soak: phase('soak', Rate, Users),
} as const satisfies Readonly<Record<string, TSchema>>;

function step<Word extends string, Members extends Readonly<Record<string, TSchema>>>(
  word: Word,
  members: Members,
) {
  return Type.Object(
    {
      do: Type.Literal(word),
      /** In reports and thresholds; the word itself by default. */
      name: Type.Optional(StepName),
      timeout_seconds: Type.Optional(StepSeconds),
      ...members,
    },
    closed,
  );
}

const Until = (words: readonly string[]) => Type.Optional(Type.Enum([...words]));
const Grace = Type.Optional(Count(0, 3600));
const Replicas = Count(0, 1000);

/** By what they do. */
export const STEP_SCHEMAS = {
  create: step('create', { vm: Type.Optional(Passed), until: Until(VM_UNTIL) }),
  wait: step('wait', { until: Type.Enum(['running', 'ready', 'http', 'gone']) }),
  call: step('call', {
    path: Type.Optional(Type.String({ maxLength: 2000 })),
    method: Type.Optional(Type.Enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE'])),
    body: Type.Optional(Type.Unknown()),
    /** Any from 200 to 399 by default. */
    status: Type.Optional(Count(100, 599)),
  }),
  start: step('start', { until: Until(VM_UNTIL) }),
  stop: step('stop', { grace_seconds: Grace }),
  restart: step('restart', { grace_seconds: Grace, until: Until(VM_UNTIL) }),
  delete: step('delete', { grace_seconds: Grace, until: Until(['gone']) }),
  get: step('get', {}),
  list: step('list', { limit: Type.Optional(Count(1, 1000)) }),
  create_deployment: step('create_deployment', {
    deployment: Type.Optional(Passed),
    replicas: Type.Optional(Replicas),
    until: Until(['accepted', 'running', 'ready']),
  }),
  scale: step('scale', {
    /** Of several one is drawn each time. */
    replicas: Type.Union([Replicas, Type.Array(Replicas, { minItems: 1, maxItems: 100 })]),
    until: Until(['accepted', 'running', 'ready']),
  }),
  /** Gives the deployment a new config: its own, these members, and a new value in its metadata. */
  roll_out: step('roll_out', {
    config: Type.Optional(Passed),
    until: Until(['accepted', 'running', 'ready']),
  }),
  get_deployment: step('get_deployment', {}),
  list_deployments: step('list_deployments', {}),
  delete_deployment: step('delete_deployment', { until: Until(['gone']) }),
  watch: step('watch', {
    /** Ends with this event of the flow's VM; without it the stream is read for duration_seconds. */
    event: Type.Optional(Type.String({ pattern: '^[A-Z_]{1,60}$' })),
    duration_seconds: Type.Optional(StepSeconds),
  }),
  pause: step('pause', { duration_seconds: StepSeconds }),
} as const satisfies Readonly<Record<string, TSchema>>;

/** An operation of several steps. One with `do` is a step with a weight. */
export const FLOW_SCHEMA = Type.Object(
  {
    name: StepName,
    weight: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1_000_000 })),
    steps: Type.Array(Type.Unknown(), {
      minItems: 1,
      maxItems: LOAD_LIMITS.stepsPerOperationMax,
    }),
  },
  closed,
);

const Share = Type.Number({ minimum: 0, maximum: 1 });

/** Members whose schema depends on one of their own members are checked apart, see scenario-file.ts. */
export const SCENARIO_SCHEMA = Type.Object(
  {
    name: Words,
    description: Type.Optional(Type.String({ maxLength: 2000 })),
    seed: Type.Optional(Count(0, Number.MAX_SAFE_INTEGER)),
    /** A request to create a VM, without its name. */
    vm: Type.Optional(Passed),
    /** A request to create a deployment, without its name and replicas. */
    deployment: Type.Optional(Passed),
    setup: Type.Optional(
      Type.Object(
        {
          vms: Type.Optional(Count(0, LOAD_LIMITS.setupMax)),
          deployments: Type.Optional(Count(0, LOAD_LIMITS.setupMax)),
          replicas: Type.Optional(Replicas),
          until: Type.Optional(Type.Enum(['running', 'ready'])),
          timeout_seconds: Type.Optional(StepSeconds),
        },
        closed,
      ),
    ),
    max_in_flight: Type.Optional(Count(1, LOAD_LIMITS.inFlightMax)),
    timeout_seconds: Type.Optional(StepSeconds),
    drain_seconds: Type.Optional(Seconds(LOAD_LIMITS.stepTimeoutSecondsMax)),
    phases: Type.Array(Type.Unknown(), { minItems: 1, maxItems: LOAD_LIMITS.phasesMax }),
    operations: Type.Array(Type.Unknown(), { minItems: 1, maxItems: LOAD_LIMITS.operationsMax }),
    thresholds: Type.Optional(Type.Array(Type.Unknown(), { maxItems: LOAD_LIMITS.thresholdsMax })),
    generator: Type.Optional(
      Type.Object(
        {
          late_ms: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
          late_share_max: Type.Optional(Share),
          loop_delay_ms_max: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
          cpu_share_max: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
          skipped_share_max: Type.Optional(Share),
        },
        closed,
      ),
    ),
  },
  closed,
);

export const THRESHOLD_SCHEMA = Type.Object(
  {
    condition: Type.String(),
    /** A breach ends the run. */
    abort: Type.Optional(Type.Boolean()),
    /** No breach counts before this time of the run; 5 by default. Only with abort. */
    after_seconds: Type.Optional(Seconds(LOAD_LIMITS.phaseSecondsMax)),
  },
  closed,
);

export type StepInput = Static<(typeof STEP_SCHEMAS)[keyof typeof STEP_SCHEMAS]>;
export type StepWord = keyof typeof STEP_SCHEMAS;
export type PhaseInput = Static<(typeof PHASE_SCHEMAS)[keyof typeof PHASE_SCHEMAS]>;
export type ScenarioInput = Static<typeof SCENARIO_SCHEMA>;
