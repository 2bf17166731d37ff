// schema: what a simulated hypervisor is to do wrong, in `metadata.simulator` of a config. With a real hypervisor that member of
// the metadata is the user's own, like all others.

import { type Static, Type } from 'typebox';
import { LIMITS } from '../config/limits.ts';
import type { Problems } from '../lib/formats/member-path.ts';
import { compileValidator } from './validate.ts';

const Rate = (description: string) =>
  Type.Optional(Type.Number({ minimum: 0, maximum: 1, description }));
const Milliseconds = (description: string) =>
  Type.Optional(Type.Integer({ minimum: 0, maximum: LIMITS.simulationMsMax, description }));

/** Rates are the share of launches to which something happens. Times begin with the launch. */
export const SimulationSchema = Type.Object(
  {
    start_failure_rate: Rate('Ends at once, with status 1'),
    start_delay_ms: Milliseconds('Answers only after this time: a slow boot'),
    crash_rate: Rate('Ends with status 1 after crash_after_ms'),
    crash_after_ms: Milliseconds('When it crashes; always, without crash_rate'),
    hang_rate: Rate('Answers nothing any more after hang_after_ms, and only SIGKILL ends it'),
    hang_after_ms: Milliseconds('When it hangs; always, without hang_rate'),
    ignore_power_button_rate: Rate('Does not power off when it is asked to'),
  },
  { additionalProperties: false },
);

export type Simulation = Static<typeof SimulationSchema>;

type Metadata = Readonly<Record<string, unknown>> | undefined;

const problemsOf = compileValidator(SimulationSchema);

/** Every problem, by its path in the config; empty if there is none. */
export function simulationProblems(metadata: Metadata): Problems {
  const given = metadata?.['simulator'];
  const problems = given === undefined ? null : problemsOf(given);
  return Object.fromEntries(
    Object.entries(problems ?? {}).map(([path, problem]) => [
      path === 'body' ? 'metadata.simulator' : `metadata.simulator.${path}`,
      problem,
    ]),
  );
}

/** undefined: nothing special, or something that is not for the simulator. */
export function simulationOf(metadata: Metadata): Simulation | undefined {
  const given = metadata?.['simulator'];
  return given === undefined || problemsOf(given) !== null ? undefined : (given as Simulation);
}
