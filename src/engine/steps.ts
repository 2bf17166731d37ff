// engine: steps with undo. A procedure that makes several things in the world is a list of steps; when
// one fails, those before it are undone in reverse order and the failing step's own error goes on.

import type { Logger } from '../lib/log.ts';

export interface Step<Context> {
  readonly name: string;
  readonly run: (context: Context) => Promise<void>;
  /** Must be idempotent and must work when `run` failed half-way. */
  readonly undo: (context: Context) => Promise<void>;
}

/** Runs the steps in order. On a failure everything is undone, the failing step included, and its error is thrown. */
export async function runSteps<Context>(
  steps: readonly Step<Context>[],
  context: Context,
  log: Logger,
): Promise<void> {
  for (const [index, step] of steps.entries()) {
    try {
      await step.run(context);
    } catch (error) {
      log.warn({ step: step.name, err: error }, 'step failed, undoing');
      await undoSteps(steps.slice(0, index + 1), context, log);
      throw error;
    }
  }
}

/** Undoes in reverse order. A failing undo is logged and does not keep the others from running. */
export async function undoSteps<Context>(
  steps: readonly Step<Context>[],
  context: Context,
  log: Logger,
): Promise<void> {
  for (const step of steps.toReversed()) {
    try {
      await step.undo(context);
    } catch (error) {
      log.error({ step: step.name, err: error }, 'undo failed; recovery will sweep what is left');
    }
  }
}
