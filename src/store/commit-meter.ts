// store: counts transactions: how long they took until they were on disk, and how many commits shared one.

import type { Family } from '../lib/metrics/family.ts';
import { Counter, Histogram } from '../lib/metrics/instruments.ts';

/** From a disk that confirms at once to one that hangs. */
const COMMIT_SECONDS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5];
const BATCH_COMMITS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

export class CommitMeter {
  readonly #durations = new Histogram(
    {
      name: 'volant_store_transaction_duration_seconds',
      help: 'Time until a transaction was on disk',
    },
    COMMIT_SECONDS,
  );
  readonly #batches = new Histogram(
    { name: 'volant_store_transaction_commits', help: 'Commits that shared one transaction' },
    BATCH_COMMITS,
  );
  readonly #failures = new Counter({
    name: 'volant_store_transaction_failures',
    help: 'Transactions that could not be written',
  });
  readonly #duration = this.#durations.of();
  readonly #batch = this.#batches.of();
  readonly #failed = this.#failures.of();

  wrote(durationMs: number, commits: number): void {
    this.#duration.observe(durationMs / 1000);
    this.#batch.observe(commits);
  }

  failed(): void {
    this.#failed.value += 1;
  }

  families(): readonly Family[] {
    return [this.#durations, this.#batches, this.#failures];
  }
}
