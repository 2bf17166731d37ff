// ui, pages: the config of a VM: its versions, what differs between two of them, and each as JSON.

import { useState } from 'preact/hooks';
import type { ConfigEnvelope, ConfigHistory } from '../../../src/client/types.ts';
import type { Vm } from '../../../src/schema/vm.ts';
import { differences } from '../../base/differences.ts';
import { exact } from '../../base/time.ts';
import { api } from '../../data/api.ts';
import { useResource } from '../../data/resource.ts';
import { DifferenceTable } from '../../parts/difference-table.tsx';
import { Json } from '../../parts/facts.tsx';
import { Failure, Loading } from '../../parts/states.tsx';

/** The newest ones, which a list to choose from can hold. */
const VERSIONS_MAX = 100;

type Version = ConfigHistory[number];

interface Read {
  readonly current: ConfigEnvelope;
  readonly history: ConfigHistory;
}

export function VmConfigs({ vm: { name } }: { readonly vm: Vm }) {
  const [read, reload] = useResource<Read>(
    name,
    async (signal) => ({
      current: await api().configs.get(name, { signal }),
      history: await api().configs.history(name, { limit: VERSIONS_MAX, signal }),
    }),
    (event) => event.name === name,
  );
  if (read.state === 'loading') return <Loading what="the config" />;
  if (read.state === 'failed') {
    return <Failure what="The config" error={read.error} onRetry={reload} />;
  }
  const { current, history } = read.value;
  return (
    <>
      {current.pending_restart && (
        <p class="notice">The VM runs with an older version. The next start uses this one.</p>
      )}
      <Versions key={current.version} history={history} />
    </>
  );
}

function Versions({ history }: { readonly history: ConfigHistory }) {
  const [newest, previous] = history;
  const [before, setBefore] = useState(previous?.version ?? newest?.version ?? 0);
  const [after, setAfter] = useState(newest?.version ?? 0);
  const find = (version: number) => history.find((each) => each.version === version);
  const [from, to] = [find(before), find(after)];
  if (from === undefined || to === undefined) return null;
  return (
    <>
      <div class="fields-line fields-wide">
        <VersionChoice label="From" history={history} chosen={before} onChoose={setBefore} />
        <VersionChoice label="To" history={history} chosen={after} onChoose={setAfter} />
      </div>
      {history.length === 1 ? (
        <p class="dim">The config has not been changed since the VM was created.</p>
      ) : (
        <DifferenceTable
          label={`Version ${before} compared with version ${after}`}
          differences={differences(from.config, to.config)}
        />
      )}
      <h2>Version {to.version}</h2>
      <Json label={`Config, version ${to.version}`} value={to.config} />
    </>
  );
}

interface VersionChoiceProps {
  readonly label: string;
  readonly history: ConfigHistory;
  readonly chosen: number;
  readonly onChoose: (version: number) => void;
}

function VersionChoice({ label, history, chosen, onChoose }: VersionChoiceProps) {
  const nameOf = ({ version, updated_at }: Version) => `Version ${version}, ${exact(updated_at)}`;
  return (
    <label>
      {label}
      <select
        value={String(chosen)}
        onChange={(event) => onChoose(Number(event.currentTarget.value))}
      >
        {history.map((each) => (
          <option key={each.version} value={String(each.version)}>
            {nameOf(each)}
          </option>
        ))}
      </select>
    </label>
  );
}
