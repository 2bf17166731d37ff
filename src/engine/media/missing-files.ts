// engine, media: warnings about files that a config names and that do not exist yet. They are no reason to refuse a
// config, because they may be added before its launch. Pure.

/** A warning for each missing file, from the messages by field. */
export function missingWarnings(missing: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(missing).map(
    ([field, text]) => `${field}: ${text}; nothing can be launched until it does`,
  );
}

/** A response with these warnings; unchanged if there are none. */
export function withWarnings<T extends object>(
  answer: T,
  warnings: readonly string[],
): T & { warnings?: string[] } {
  return warnings.length === 0 ? answer : { ...answer, warnings: [...warnings] };
}
