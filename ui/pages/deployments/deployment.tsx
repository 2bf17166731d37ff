// ui, pages: one deployment: how far its roll-out is, its replicas and its revisions, and what can be done with it.

import { useState } from 'preact/hooks';
import type { Deployment } from '../../../src/client/types.ts';
import { go, to } from '../../base/router.ts';
import { api } from '../../data/api.ts';
import { useResource } from '../../data/resource.ts';
import { allVms } from '../../data/vm-store.ts';
import { confirm } from '../../parts/dialog.tsx';
import { Conditions, Facts } from '../../parts/facts.tsx';
import { Failure, Loading } from '../../parts/states.tsx';
import { StatusBadge } from '../../parts/status-badge.tsx';
import { TimeAgo } from '../../parts/time-ago.tsx';
import { tellProgress } from '../../parts/toasts.tsx';
import { stateOf } from './deployment-state.ts';
import { Revisions } from './revisions.tsx';

export interface DeploymentPageProps {
  readonly parameters: Readonly<Record<string, string>>;
}

/** Of more only their number is shown: the list of VMs has them all. */
const REPLICAS_SHOWN_MAX = 200;

export function Page({ parameters }: DeploymentPageProps) {
  const name = parameters['name'] ?? '';
  const [deployment, reload] = useResource(
    name,
    (signal) => api().deployments.get(name, { signal }),
    (event) => event.deployment === name || event.name === name,
  );
  return (
    <section class="page" aria-labelledby="page-title">
      <nav class="crumbs" aria-label="Where this page is">
        <a href={to(['deployments'])}>Deployments</a>
      </nav>
      <div class="page-head">
        <h1 id="page-title">{name}</h1>
        {deployment.state === 'ready' && <State deployment={deployment.value} />}
        {deployment.state === 'ready' && <Actions deployment={deployment.value} />}
      </div>
      {deployment.state === 'loading' && <Loading what={name} />}
      {deployment.state === 'failed' && (
        <Failure what={name} error={deployment.error} onRetry={reload} />
      )}
      {deployment.state === 'ready' && <Content deployment={deployment.value} />}
    </section>
  );
}

function State({ deployment }: { readonly deployment: Deployment }) {
  const { word, tone, message } = stateOf(deployment);
  return <StatusBadge status={word} tone={tone} title={message} />;
}

function Actions({ deployment: { name, desired_replicas, status } }: ContentProps) {
  const [replicas, setReplicas] = useState<string | null>(null);
  const scale = async () => {
    const wanted = Number(replicas);
    setReplicas(null);
    await tellProgress(
      `Scaling ${name} to ${wanted}…`,
      () => api().deployments.scale(name, wanted),
      () => `${name} is to have ${wanted} replicas`,
    );
  };
  const remove = async () => {
    const text = `Its ${desired_replicas} replicas are ended, and what they wrote to disks is removed. This cannot be undone.`;
    const title = `Delete ${name}?`;
    if (!(await confirm({ title, text, action: 'Delete', isDangerous: true }))) return;
    go(['deployments']);
    await tellProgress(
      `Deleting ${name}…`,
      () => api().deployments.delete(name),
      () => `Deleted ${name}`,
    );
  };
  const isDeleting = status === 'deleting';
  return (
    <div class="actions">
      <form
        class="inline-form"
        onSubmit={(event) => {
          event.preventDefault();
          void scale();
        }}
      >
        <label>
          Replicas
          <input
            type="number"
            min={0}
            max={10_000}
            required
            disabled={isDeleting}
            value={replicas ?? String(desired_replicas)}
            onInput={(event) => setReplicas(event.currentTarget.value)}
          />
        </label>
        <button
          type="submit"
          disabled={isDeleting || replicas === null || replicas === String(desired_replicas)}
        >
          Scale
        </button>
      </form>
      <button type="button" class="danger" disabled={isDeleting} onClick={() => void remove()}>
        Delete
      </button>
    </div>
  );
}

interface ContentProps {
  readonly deployment: Deployment;
}

function Content({ deployment }: ContentProps) {
  const { desired_replicas: desired, ready_replicas, updated_replicas, replicas } = deployment;
  return (
    <>
      <div class="meters">
        <Meter label="Ready" value={ready_replicas} of={desired} />
        <Meter
          label={`With revision ${deployment.revision}`}
          value={updated_replicas}
          of={replicas.length}
        />
        <Meter
          label="With older revisions"
          value={Math.max(0, replicas.length - updated_replicas)}
          of={replicas.length}
        />
      </div>
      <Facts
        facts={{
          Plugin: deployment.config.plugin ?? '–',
          'Replaced at once, at most': deployment.max_unavailable,
          Created: <TimeAgo at={deployment.created_at} />,
          Changed: <TimeAgo at={deployment.updated_at} />,
        }}
      />
      <Conditions conditions={deployment.conditions} />
      <Replicas names={replicas} />
      <Revisions deployment={deployment} />
    </>
  );
}

interface MeterProps {
  readonly label: string;
  readonly value: number;
  readonly of: number;
}

function Meter({ label, value, of }: MeterProps) {
  return (
    <div class="meter">
      <span>{label}</span>
      <strong>
        {value} of {of}
      </strong>
      <progress aria-label={label} value={value} max={Math.max(1, of)} />
    </div>
  );
}

function Replicas({ names }: { readonly names: readonly string[] }) {
  const wanted = new Set(names);
  const known = new Map(
    allVms.value.filter(({ name }) => wanted.has(name)).map((vm) => [vm.name, vm]),
  );
  const more = names.length - REPLICAS_SHOWN_MAX;
  return (
    <>
      <h2>Replicas</h2>
      {names.length === 0 && <p class="dim">There are none.</p>}
      <ul class="tiles">
        {names.slice(0, REPLICAS_SHOWN_MAX).map((name) => (
          <li key={name}>
            <a href={to(['vms', name])}>{name}</a>
            <StatusBadge status={known.get(name)?.status ?? 'unknown'} />
          </li>
        ))}
      </ul>
      {more > 0 && <p class="dim">And {more} more.</p>}
    </>
  );
}
