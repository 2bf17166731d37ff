// engine, plugins: records about the files of plugin versions. Clients write and read them; the daemon does not use
// their contents.

import { LIMITS } from '../../config/limits.ts';
import { type Clock, toTimestamp } from '../../lib/clock.ts';
import { VolantError } from '../../lib/errors.ts';
import type { Artifact, ArtifactInput } from '../../schema/artifact.ts';
import { NAME_PATTERN, NAME_RULE } from '../../schema/parts.ts';
import type { ArtifactApi } from '../engine-api.ts';
import type { Write } from '../ports/store-ports.ts';
import type { ArtifactRecord } from '../records.ts';
import type { State } from '../state/state.ts';

export class Artifacts implements ArtifactApi {
  readonly #state: State;
  readonly #clock: Clock;
  readonly #byKey = new Map<string, ArtifactRecord>();

  constructor(state: State, clock: Clock, records: readonly ArtifactRecord[]) {
    this.#state = state;
    this.#clock = clock;
    for (const record of records) this.#byKey.set(keyOf(record), record);
  }

  list(plugin: string, version?: string): readonly Artifact[] {
    return this.#matching(plugin, version).sort(inOrder).map(shown);
  }

  get(plugin: string, version: string, name: string): Artifact {
    const record = this.#byKey.get(keyOf({ plugin, version, name }));
    if (record !== undefined) return shown(record);
    const why = `Plugin ${plugin} has no artifact ${name} of version ${version}`;
    throw new VolantError('ARTIFACT_NOT_FOUND', why);
  }

  async put(plugin: string, input: ArtifactInput): Promise<void> {
    if (!new RegExp(NAME_PATTERN).test(plugin)) {
      throw new VolantError('PARAMETER_INVALID', undefined, {
        details: { plugin: `must be ${NAME_RULE}` },
      });
    }
    const id = { plugin, version: input.version, name: input.artifact_name };
    const before = this.#byKey.get(keyOf(id));
    if (before === undefined && this.#byKey.size >= LIMITS.artifactsMax) {
      const why = `At most ${LIMITS.artifactsMax} artifacts can be recorded`;
      throw new VolantError('CAPACITY_EXHAUSTED', why);
    }
    const nowMs = this.#clock.nowMs();
    const record: ArtifactRecord = {
      ...id,
      kind: input.kind ?? '',
      sourceUrl: input.source_url ?? '',
      checksum: input.checksum ?? '',
      format: input.format ?? '',
      localPath: input.local_path ?? '',
      sizeBytes: input.size_bytes ?? 0,
      createdAtMs: before?.createdAtMs ?? nowMs,
      updatedAtMs: nowMs,
    };
    await this.#state.commit([writeOf(record, record)], []);
    this.#byKey.set(keyOf(record), record);
  }

  async remove(plugin: string, version?: string): Promise<void> {
    const gone = this.#matching(plugin, version);
    if (gone.length === 0) return;
    await this.#state.commit(
      gone.map((record) => writeOf(record, null)),
      [],
    );
    for (const record of gone) this.#byKey.delete(keyOf(record));
  }

  #matching(plugin: string, version: string | undefined): ArtifactRecord[] {
    return [...this.#byKey.values()].filter(
      (record) => record.plugin === plugin && (version === undefined || record.version === version),
    );
  }
}

type ArtifactId = Pick<ArtifactRecord, 'plugin' | 'version' | 'name'>;

function keyOf({ plugin, version, name }: ArtifactId): string {
  return JSON.stringify([plugin, version, name]);
}

function writeOf({ plugin, version, name }: ArtifactId, value: ArtifactRecord | null): Write {
  return { table: 'artifacts', key: [plugin, version, name], value };
}

/** Newest version first, with numbers in versions compared as numbers; then by name. */
function inOrder(one: ArtifactRecord, other: ArtifactRecord): number {
  const byVersion = other.version.localeCompare(one.version, 'en', { numeric: true });
  return byVersion || (one.name < other.name ? -1 : 1);
}

function shown(record: ArtifactRecord): Artifact {
  return {
    plugin: record.plugin,
    version: record.version,
    artifact_name: record.name,
    kind: record.kind,
    source_url: record.sourceUrl,
    checksum: record.checksum,
    format: record.format,
    local_path: record.localPath,
    // Earlier versions accepted any number.
    size_bytes: Math.min(record.sizeBytes, Number.MAX_SAFE_INTEGER),
    created_at: toTimestamp(record.createdAtMs),
    updated_at: toTimestamp(record.updatedAtMs),
  };
}
