// load, run: one run from its start to its report: left-overs of earlier runs, setup, rounds, cleanup.

import { randomInt } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import type { VolantClient } from '../../client/client.ts';
import { VERSION } from '../../lib/version.ts';
import { monotonicMs } from '../generator/clock.ts';
import { cleanCommand, removeRun } from '../owned/cleanup.ts';
import { newLabel, type RunOwner } from '../owned/labels.ts';
import { findRuns } from '../owned/left-runs.ts';
import { thisOwner } from '../owned/run-owner.ts';
import type {
  CleanupReport,
  GeneratorProcessReport,
  KneeReport,
  RunFacts,
  RunObserver,
  RunReport,
  ThresholdReport,
} from '../report/run-report.ts';
import { deploymentNeed, type Scenario, vmNeed } from '../scenario/scenario.ts';
import { ScenarioError, scenarioSha256 } from '../scenario/scenario-file.ts';
import { Collector } from './collector.ts';
import { DaemonSampler } from './daemon-sampler.ts';
import { searchKnee } from './knee.ts';
import { joinRaw } from './raw-join.ts';
import { type RoundEnd, rawPart, runRound } from './round.ts';
import type { RunOptions } from './run-options.ts';
import { checkWithDaemon, type MadeBySetup, makeSetup, SetupError } from './setup.ts';
import { clientOf, shownUrl } from './target.ts';
import { breachText, generatorProblems, judged, skipProblems, verdictOf } from './verdict.ts';

const SEED_MAX = 2 ** 31;

/**
 * Runs a scenario. Rejects before anything was made with ScenarioError (the scenario cannot be used) or an error of the client
 * (the daemon cannot be reached). Whatever happens later is in the report.
 */
export async function runLoad(options: RunOptions): Promise<RunReport> {
  checkProcesses(options.scenario, options.processes ?? 1);
  const run = new Run(options);
  return await run.run();
}

function checkProcesses({ setup, flows, maxInFlight }: Scenario, processes: number): void {
  const lacks = (count: number, isNeeded: boolean) => isNeeded && count < processes;
  const details: Record<string, string> = {};
  const rule = `must be at least the number of generator processes, ${processes}`;
  if (
    lacks(
      setup.vms,
      flows.some((flow) => vmNeed(flow) !== 'none'),
    )
  ) {
    details['setup.vms'] = rule;
  }
  if (
    lacks(
      setup.deployments,
      flows.some((flow) => deploymentNeed(flow) !== 'none'),
    )
  ) {
    details['setup.deployments'] = rule;
  }
  if (maxInFlight < processes) details['max_in_flight'] = rule;
  if (Object.keys(details).length === 0) return;
  throw new ScenarioError('Each generator process needs a part of its own', details);
}

class Run {
  readonly #options: RunOptions;
  readonly #owner: RunOwner;
  readonly #seed: number;
  readonly #processes: number;
  readonly #observer: RunObserver;
  readonly #client: VolantClient;
  readonly #signal: AbortSignal;
  readonly #collector = new Collector();
  readonly #sampler: DaemonSampler;
  readonly #health: GeneratorProcessReport[] = [];
  readonly #invalid: string[] = [];
  readonly #rawParts: string[] = [];
  #made: MadeBySetup = { vms: [], deployments: [] };
  #rounds = 0;
  #rawLinesLost = 0;
  #beginMs: number | undefined;
  #startedAt = new Date().toISOString();
  #endMs = 0;
  #abortedBy: ThresholdReport | undefined;
  #knee: KneeReport | null = null;
  #removed = { vms: 0, deployments: 0 };

  constructor(options: RunOptions) {
    const { target, scenario, label = newLabel(), processes = 1, observer = {} } = options;
    this.#options = options;
    this.#owner = thisOwner(label);
    this.#seed = options.seed ?? scenario.seed ?? randomInt(SEED_MAX);
    this.#processes = processes;
    this.#observer = observer;
    this.#signal = options.signal ?? new AbortController().signal;
    this.#client = clientOf(target);
    // Every call that runs listens to it.
    setMaxListeners(0, this.#signal);
    this.#sampler = new DaemonSampler(this.#client, target);
  }

  async run(): Promise<RunReport> {
    const { version } = await this.#client.system.info();
    const facts = this.#facts(version ?? null);
    this.#observer.onStart?.(facts);
    await this.#removeLeftOvers();
    await checkWithDaemon(this.#client, this.#options.scenario, this.#owner);
    try {
      await this.#work();
    } catch (error) {
      if (!this.#signal.aborted) this.#invalid.push(sentenceOf(error));
    } finally {
      await this.#sampler.stop();
    }
    this.#endMs = this.#beginMs === undefined ? 0 : monotonicMs() - this.#beginMs;
    await this.#joinRaw();
    const report = this.#report(facts, await this.#cleanup());
    this.#observer.onEnd?.(report);
    return report;
  }

  async #work(): Promise<void> {
    const { scenario, findMax } = this.#options;
    if (scenario.setup.vms + scenario.setup.deployments > 0) {
      this.#note('Making what the scenario needs before its first phase');
    }
    this.#made = await makeSetup(this.#client, scenario, this.#owner, this.#signal);
    if (this.#signal.aborted) return;
    if (findMax === undefined) {
      this.#abortedBy = (await this.#round(scenario)).abortedBy;
      return;
    }
    this.#knee = await searchKnee(findMax, scenario, {
      round: async (given) => {
        const end = await this.#round(given);
        return [...end.problems, ...this.#problemsOf(end.health)];
      },
      phaseReport: (name) => this.#collector.phases().find((phase) => phase.name === name),
      // What one try made must not be in the way of the next one.
      afterTry: async () => {
        const keep = new Set([...this.#made.vms, ...this.#made.deployments]);
        await this.#remove(keep);
      },
      isOver: () => this.#signal.aborted,
      note: (note) => this.#note(note),
    });
  }

  async #round(scenario: Scenario): Promise<RoundEnd> {
    const number = this.#rounds;
    this.#rounds += 1;
    const rawFile = this.#options.rawFile ?? null;
    if (rawFile !== null) {
      for (let index = 0; index < this.#processes; index += 1) {
        this.#rawParts.push(rawPart(rawFile, number, index));
      }
    }
    const end = await runRound({
      target: this.#options.target,
      scenario,
      owner: this.#owner,
      seed: this.#seed,
      processes: this.#processes,
      rawFile,
      made: this.#made,
      collector: this.#collector,
      observer: this.#observer,
      signal: this.#signal,
      number,
      runBeginMs: this.#beginMs,
      onBegin: (runBeginMs) => this.#begin(runBeginMs),
    });
    this.#health.push(...end.health);
    this.#rawLinesLost += end.rawLinesLost;
    this.#invalid.push(...end.problems);
    return end;
  }

  #begin(runBeginMs: number): void {
    if (this.#beginMs !== undefined) return;
    this.#beginMs = runBeginMs;
    this.#startedAt = new Date(Date.now() + runBeginMs - monotonicMs()).toISOString();
    this.#sampler.start(runBeginMs, (second, values) => this.#collector.addDaemon(second, values));
  }

  async #removeLeftOvers(): Promise<void> {
    for (const { label, state, host, vms, deployments } of await findRuns(this.#client)) {
      const what = `${vms} VMs and ${deployments} deployments of the run ${label}`;
      if (state === 'unknown') {
        this.#note(
          `${what}, started on ${host}, are there; \`${cleanCommand(label)}\` removes them`,
        );
      }
      if (state !== 'dead') continue;
      if (this.#options.removeLeftOvers === false) {
        this.#note(`${what}, which has ended, are left; \`${cleanCommand(label)}\` removes them`);
        continue;
      }
      this.#note(`Removing ${what}, which has ended`);
      const { leftTotal, command } = await removeRun(this.#client, label, this.#cleanupBound());
      if (leftTotal > 0)
        this.#note(`${leftTotal} of them could not be removed; try \`${command}\``);
    }
  }

  async #cleanup(): Promise<CleanupReport | null> {
    if (this.#options.cleanup === false) return null;
    this.#note('Removing what the run made');
    const report = await this.#remove(new Set());
    const { vms, deployments } = this.#removed;
    return { ...report, removedVms: vms, removedDeployments: deployments };
  }

  async #remove(keep: ReadonlySet<string>): Promise<CleanupReport> {
    const report = await removeRun(this.#client, this.#owner.label, {
      ...this.#cleanupBound(),
      keep,
    });
    this.#removed.vms += report.removedVms;
    this.#removed.deployments += report.removedDeployments;
    return report;
  }

  #cleanupBound(): { timeoutMs?: number } {
    const { cleanupTimeoutMs } = this.#options;
    return cleanupTimeoutMs === undefined ? {} : { timeoutMs: cleanupTimeoutMs };
  }

  async #joinRaw(): Promise<void> {
    const { rawFile } = this.#options;
    if (rawFile === undefined || this.#rawParts.length === 0) return;
    try {
      await joinRaw(rawFile, this.#rawParts);
    } catch (error) {
      this.#invalid.push(`The raw lines could not be written: ${(error as Error).message}`);
    }
  }

  #problemsOf(health: readonly GeneratorProcessReport[]): string[] {
    const { samples } = this.#collector.samples();
    const lateMsMax = Math.max(0, ...samples.map((sample) => sample.lateMsMax));
    return generatorProblems(health, lateMsMax, this.#options.scenario.generator);
  }

  #note(note: string): void {
    this.#observer.onNote?.(note);
  }

  #facts(serverVersion: string | null): Omit<RunFacts, 'startedAt' | 'durationMs'> {
    const { scenario, scenarioFile, target } = this.#options;
    return {
      label: this.#owner.label,
      scenario: {
        name: scenario.name,
        description: scenario.description,
        file: scenarioFile ?? null,
        sha256: scenarioSha256(scenario),
      },
      url: shownUrl(target.url),
      processes: this.#processes,
      seed: this.#seed,
      serverVersion,
      version: VERSION,
    };
  }

  #report(
    facts: Omit<RunFacts, 'startedAt' | 'durationMs'>,
    cleanup: CleanupReport | null,
  ): RunReport {
    const { scenario, findMax } = this.#options;
    const phases = this.#collector.phases();
    const all = { ...this.#collector.operations(this.#endMs), phases };
    // The thresholds of a scenario are about its own phases, which a search does not run.
    const hasRun = findMax === undefined && this.#beginMs !== undefined;
    const thresholds = hasRun ? scenario.thresholds.map((threshold) => judged(threshold, all)) : [];
    const { samples, sampleIntervalMs } = this.#collector.samples();
    const kneeFailed = this.#knee !== null && this.#knee.highestHeldPerSecond === null;
    const { verdict, reasons } = verdictOf({
      isInterrupted: this.#signal.aborted,
      invalid: [
        ...this.#invalid,
        ...this.#problemsOf(this.#health),
        // A search takes a rate with many skipped starts for one that was not reached.
        ...(findMax === undefined ? skipProblems(phases, scenario.generator) : []),
      ],
      abortedBy: this.#abortedBy,
      failed: [
        ...thresholds.filter(({ held }) => !held).map(breachText),
        ...(kneeFailed ? [`${this.#knee?.condition} held at no rate`] : []),
      ],
    });
    const sum = (numbers: readonly number[]) => numbers.reduce((one, other) => one + other, 0);
    return {
      format: 1,
      run: { ...facts, startedAt: this.#startedAt, durationMs: this.#endMs },
      verdict,
      reasons,
      phases,
      operations: all.operations,
      total: all.total,
      thresholds,
      samples,
      sampleIntervalMs,
      daemonFigures: this.#sampler.figures(),
      generator: {
        processes: this.#health,
        limits: scenario.generator,
        starts: sum(this.#health.map((one) => one.starts)),
        lateStarts: sum(this.#health.map((one) => one.lateStarts)),
        lateMsMax: Math.max(0, ...samples.map(({ lateMsMax }) => lateMsMax)),
        messages: this.#collector.messages(),
        rawLinesLost: this.#rawLinesLost,
      },
      knee: this.#knee,
      cleanup,
    };
  }
}

function sentenceOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return error instanceof SetupError ? message : `The run could not continue: ${message}`;
}
