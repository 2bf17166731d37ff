// ui, pages: one VM: what can be done with it, and the parts of its page, of which one is shown.

import type { ComponentChildren } from 'preact';
import type { Vm } from '../../../src/schema/vm.ts';
import { go, place, replaceQuery, to } from '../../base/router.ts';
import { exact, mebibytes } from '../../base/time.ts';
import { api } from '../../data/api.ts';
import { useResource } from '../../data/resource.ts';
import { Choices } from '../../parts/choices.tsx';
import { Conditions, Facts } from '../../parts/facts.tsx';
import { Failure, Loading } from '../../parts/states.tsx';
import { StatusBadge } from '../../parts/status-badge.tsx';
import { TimeAgo } from '../../parts/time-ago.tsx';
import { actOn, VM_ACTIONS, type VmAction } from '../vm-actions.ts';
import { VmConfigs } from './vm-config.tsx';
import { VmConsole } from './vm-console.tsx';
import { VmLogs } from './vm-logs.tsx';
import { VmStatistics } from './vm-stats.tsx';
import { VmTimeline } from './vm-timeline.tsx';

const ACTIONS: readonly VmAction[] = ['start', 'stop', 'restart', 'delete'];

type Show = (props: { readonly vm: Vm }) => ComponentChildren;

const TABS = {
  facts: { label: 'Facts', Show: VmFacts },
  timeline: { label: 'Timeline', Show: VmTimeline },
  logs: { label: 'Logs', Show: VmLogs },
  config: { label: 'Config', Show: VmConfigs },
  stats: { label: 'Statistics', Show: VmStatistics },
  console: { label: 'Console', Show: VmConsole },
} as const satisfies Readonly<Record<string, { readonly label: string; readonly Show: Show }>>;

type Tab = keyof typeof TABS;

const CHOICES = Object.entries(TABS).map(([id, { label }]) => ({ id: id as Tab, label }));

export interface VmPageProps {
  readonly parameters: Readonly<Record<string, string>>;
}

export function Page({ parameters }: VmPageProps) {
  const name = parameters['name'] ?? '';
  const [vm, reload] = useResource(
    name,
    (signal) => api().vms.get(name, { signal }),
    (event) => event.name === name,
  );
  const asked = place.value.query.get('tab') ?? '';
  const tab = CHOICES.find(({ id }) => id === asked)?.id ?? 'facts';
  const { Show } = TABS[tab];
  return (
    <section class="page page-full" aria-labelledby="page-title">
      <nav class="crumbs" aria-label="Where this page is">
        <a href={to(['vms'])}>VMs</a>
      </nav>
      <div class="page-head">
        <h1 id="page-title">{name}</h1>
        {vm.state === 'ready' && <StatusBadge status={vm.value.status} />}
        {vm.state === 'ready' && <Actions vm={vm.value} />}
      </div>
      {vm.state === 'loading' && <Loading what={name} />}
      {vm.state === 'failed' && <Failure what={name} error={vm.error} onRetry={reload} />}
      {vm.state === 'ready' && (
        <>
          <Choices
            label="What of the VM is shown"
            choices={CHOICES}
            chosen={tab}
            onChoose={(id) => replaceQuery({ tab: id === 'facts' ? '' : id })}
          />
          <Show vm={vm.value} />
        </>
      )}
    </section>
  );
}

function Actions({ vm }: { readonly vm: Vm }) {
  const act = async (action: VmAction) => {
    if ((await actOn(action, [vm])) && action === 'delete') go(['vms']);
  };
  return (
    <div class="actions">
      {ACTIONS.map((action) => (
        <button
          key={action}
          type="button"
          class={action === 'delete' ? 'danger' : ''}
          disabled={!VM_ACTIONS[action].fits(vm)}
          onClick={() => void act(action)}
        >
          {VM_ACTIONS[action].label}
        </button>
      ))}
    </div>
  );
}

function VmFacts({ vm }: { readonly vm: Vm }) {
  const { workload } = vm;
  const facts = {
    Plugin: <a href={to(['plugins', vm.plugin])}>{vm.plugin}</a>,
    Runtime: vm.runtime,
    'CPU cores': vm.cpu_cores,
    Memory: mebibytes(vm.memory_mb),
    Address: vm.ip_address || 'none',
    'MAC address': vm.mac_address,
    'Process id': vm.pid ?? 'none',
    Workload: workload?.state ?? 'not known yet',
    ...(workload === undefined ? {} : { 'Restarts of the workload': workload.restarts }),
    ...(workload?.last_exit === undefined ? {} : { 'Last exit': workload.last_exit }),
    ...(vm.deadline === undefined ? {} : { 'Deleted at': exact(vm.deadline) }),
    Created: <TimeAgo at={vm.created_at} />,
    Changed: <TimeAgo at={vm.updated_at} />,
  };
  const trouble = [vm.status_reason, workload?.reason, workload?.check_failure];
  return (
    <>
      {trouble.map((text) => text !== undefined && <p class="notice">{text}</p>)}
      <Facts facts={facts} />
      <Conditions conditions={vm.conditions} />
    </>
  );
}
