// workers: counts jobs by name, and how long they took. The label is not `job`: Prometheus gives every series one of that
// name.

import type { JobName } from '../host/jobs/protocol.ts';
import type { ThreadFacts } from '../host/jobs/threads.ts';
import { type Family, gauge } from '../lib/metrics/family.ts';
import { Counter, Summary } from '../lib/metrics/instruments.ts';

export class JobMeter {
  readonly #durations = new Summary({
    name: 'volant_job_duration_seconds',
    help: 'Time that jobs took on a worker thread, by the name of the job',
    labels: ['name'],
  });
  readonly #failures = new Counter({
    name: 'volant_job_failures',
    help: 'Jobs that ended with an error, by the name of the job',
    labels: ['name'],
  });
  readonly #overruns = new Counter({
    name: 'volant_job_deadline_overruns',
    help: 'Jobs that were given up because they passed their deadline, by the name of the job',
    labels: ['name'],
  });
  readonly #refused = new Counter({
    name: 'volant_jobs_refused',
    help: 'Jobs that were refused because their queue was full or earlier ones hang, by the name of the job',
    labels: ['name'],
  });

  ended(job: JobName, durationMs: number, isSuccess: boolean): void {
    const cell = this.#durations.of(job);
    cell.sum += durationMs / 1000;
    cell.count += 1;
    if (!isSuccess) this.#failures.of(job).value += 1;
  }

  overran(job: JobName): void {
    this.#overruns.of(job).value += 1;
  }

  refused(job: JobName): void {
    this.#refused.of(job).value += 1;
  }

  families(): readonly Family[] {
    return [this.#durations, this.#failures, this.#overruns, this.#refused];
  }
}

export function threadFamilies({ working, hanging, replaced }: ThreadFacts): readonly Family[] {
  return [
    gauge({ name: 'volant_worker_threads', help: 'Worker threads, by state', labels: ['state'] }, [
      [['working'], working],
      [['replaced'], replaced],
    ]),
    gauge(
      { name: 'volant_jobs_hanging', help: 'Jobs that were given up and have not returned' },
      hanging,
    ),
  ];
}
