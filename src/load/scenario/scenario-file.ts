// load, scenario: reads a scenario from a file or a value, and says of every wrong field at once what is wrong with it.

import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { parse, YAMLParseError } from 'yaml';
import { join } from '../../lib/formats/member-path.ts';
import { GENERATOR_LIMITS, LOAD_LIMITS } from '../load-limits.ts';
import type { Scenario } from './scenario.ts';
import { flowOf, phaseOf, thresholdOf } from './scenario-parts.ts';
import { checkRules } from './scenario-rules.ts';
import { SCENARIO_SCHEMA, type ScenarioInput } from './scenario-schema.ts';
import { checkShape, type ScenarioProblems } from './shape-check.ts';

export class ScenarioError extends Error {
  override readonly name = 'ScenarioError';
  /** Path of a field -> what is wrong with it. */
  readonly details: Readonly<Record<string, string>>;

  constructor(message: string, details: Readonly<Record<string, string>> = {}) {
    super(message);
    this.details = details;
  }
}

/** Reads YAML, of which JSON is a part. Throws ScenarioError. */
export async function readScenarioFile(path: string): Promise<Scenario> {
  return parseScenario(await boundedText(path));
}

/** Throws ScenarioError. */
export function parseScenario(text: string): Scenario {
  try {
    return checkScenario(parse(text, { maxAliasCount: 100 }));
  } catch (error) {
    if (error instanceof YAMLParseError || error instanceof ReferenceError) {
      throw new ScenarioError(`The scenario is neither YAML nor JSON: ${error.message}`);
    }
    throw error;
  }
}

async function boundedText(path: string): Promise<string> {
  const file = await open(path).catch((error: NodeJS.ErrnoException) => {
    throw new ScenarioError(`The scenario cannot be read: ${error.message}`);
  });
  try {
    const { size } = await file.stat();
    if (size > LOAD_LIMITS.scenarioBytesMax) {
      throw new ScenarioError(`The scenario has more than ${LOAD_LIMITS.scenarioBytesMax} bytes`);
    }
    return await file.readFile('utf8');
  } catch (error) {
    if (error instanceof ScenarioError) throw error;
    throw new ScenarioError(`The scenario cannot be read: ${(error as Error).message}`);
  } finally {
    await file.close();
  }
}

/** The scenario of a value as a file has it, with every default. Throws ScenarioError with all that is wrong. */
export function checkScenario(value: unknown): Scenario {
  const problems: ScenarioProblems = new Map();
  const isShaped = checkShape(SCENARIO_SCHEMA, value, '', problems);
  // The parts are checked anyway, so that all problems are reported at once.
  const given = (typeof value === 'object' && value !== null ? value : {}) as ScenarioInput;
  const scenario = scenarioOf(isShaped ? given : { ...given, ...SOUND }, given, problems);
  if (problems.size === 0) checkRules(scenario, problems);
  if (problems.size > 0) {
    const count = problems.size === 1 ? 'One field' : `${problems.size} fields`;
    throw new ScenarioError(
      `${count} of the scenario cannot be used`,
      Object.fromEntries(problems),
    );
  }
  return scenario;
}

/** In the place of members that may be wrong. */
const SOUND = { timeout_seconds: 1, drain_seconds: 1, setup: {}, generator: {} };

function scenarioOf(
  sound: ScenarioInput,
  given: ScenarioInput,
  problems: ScenarioProblems,
): Scenario {
  const timeoutMs = (sound.timeout_seconds ?? LOAD_LIMITS.stepTimeoutSecondsDefault) * 1000;
  const { setup = {}, generator = {} } = sound;
  const all = (value: unknown) => (Array.isArray(value) ? value : []);
  return {
    name: sound.name,
    description: sound.description ?? '',
    seed: sound.seed,
    vm: sound.vm ?? {},
    deployment: sound.deployment ?? {},
    setup: {
      vms: setup.vms ?? 0,
      deployments: setup.deployments ?? 0,
      replicas: setup.replicas ?? 1,
      until: setup.until ?? 'running',
      timeoutMs: setup.timeout_seconds === undefined ? timeoutMs : setup.timeout_seconds * 1000,
    },
    maxInFlight: sound.max_in_flight ?? LOAD_LIMITS.inFlightDefault,
    drainMs: (sound.drain_seconds ?? LOAD_LIMITS.drainSecondsDefault) * 1000,
    phases: all(given.phases).flatMap((phase, at) => phaseOf(phase, at, problems) ?? []),
    flows: all(given.operations).flatMap((flow, at) => flowOf(flow, at, timeoutMs, problems) ?? []),
    thresholds: all(given.thresholds).flatMap(
      (threshold, at) => thresholdOf(threshold, join('thresholds', at), problems) ?? [],
    ),
    generator: {
      lateMs: generator.late_ms ?? GENERATOR_LIMITS.lateMs,
      lateShareMax: generator.late_share_max ?? GENERATOR_LIMITS.lateShareMax,
      loopDelayMsMax: generator.loop_delay_ms_max ?? GENERATOR_LIMITS.loopDelayMsMax,
      cpuShareMax: generator.cpu_share_max ?? GENERATOR_LIMITS.cpuShareMax,
      skippedShareMax: generator.skipped_share_max ?? GENERATOR_LIMITS.skippedShareMax,
    },
  };
}

/** The same for scenarios that do the same. */
export function scenarioSha256(scenario: Scenario): string {
  return createHash('sha256').update(JSON.stringify(scenario)).digest('hex');
}
