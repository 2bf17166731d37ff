// ui, pages: one plugin: its manifest, the records of its files, and what can be done with it.

import type { Artifact, Manifest } from '../../../src/client/types.ts';
import { go, to } from '../../base/router.ts';
import { api } from '../../data/api.ts';
import { useResource } from '../../data/resource.ts';
import { ArtifactTable } from '../../parts/artifact-table.tsx';
import { confirm } from '../../parts/dialog.tsx';
import { Facts, Json } from '../../parts/facts.tsx';
import { Failure, Loading } from '../../parts/states.tsx';
import { StatusBadge } from '../../parts/status-badge.tsx';
import { tellProgress } from '../../parts/toasts.tsx';

export interface PluginPageProps {
  readonly parameters: Readonly<Record<string, string>>;
}

interface Read {
  readonly manifest: Manifest;
  readonly artifacts: readonly Artifact[];
}

export function Page({ parameters }: PluginPageProps) {
  const name = parameters['name'] ?? '';
  const [plugin, reload] = useResource<Read>(
    name,
    async (signal) => ({
      manifest: await api().plugins.get(name, { signal }),
      artifacts: await api().plugins.listArtifacts(name, { signal }),
    }),
    (event) => event.type.startsWith('PLUGIN_') && event.name === name,
  );
  return (
    <section class="page" aria-labelledby="page-title">
      <nav class="crumbs" aria-label="Where this page is">
        <a href={to(['plugins'])}>Plugins</a>
      </nav>
      <div class="page-head">
        <h1 id="page-title">{name}</h1>
        {plugin.state === 'ready' && <Head manifest={plugin.value.manifest} />}
      </div>
      {plugin.state === 'loading' && <Loading what={name} />}
      {plugin.state === 'failed' && <Failure what={name} error={plugin.error} onRetry={reload} />}
      {plugin.state === 'ready' && <Content {...plugin.value} />}
    </section>
  );
}

function Head({ manifest: { name, enabled } }: { readonly manifest: Manifest }) {
  const toggle = () =>
    tellProgress(
      enabled ? `Disabling ${name}…` : `Enabling ${name}…`,
      () => api().plugins.setEnabled(name, !enabled),
      () => `${name} is ${enabled ? 'disabled' : 'enabled'}`,
    );
  const remove = async () => {
    const title = `Remove the plugin ${name}?`;
    const text = 'VMs that were made of it stay. No VM can be made of it any more.';
    if (!(await confirm({ title, text, action: 'Remove', isDangerous: true }))) return;
    const done = await tellProgress(
      `Removing ${name}…`,
      async () => {
        await api().plugins.remove(name);
        return true;
      },
      () => `Removed ${name}`,
    );
    if (done === true) go(['plugins']);
  };
  return (
    <>
      <StatusBadge status={enabled ? 'enabled' : 'disabled'} tone={enabled ? 'good' : 'idle'} />
      <div class="actions">
        {enabled && (
          <a class="button" href={to(['create', 'vm'], { plugin: name })}>
            Create a VM of it
          </a>
        )}
        <button type="button" onClick={() => void toggle()}>
          {enabled ? 'Disable' : 'Enable'}
        </button>
        <button type="button" class="danger" onClick={() => void remove()}>
          Remove
        </button>
      </div>
    </>
  );
}

function Content({ manifest, artifacts }: Read) {
  return (
    <>
      <Facts
        facts={{
          Version: manifest.version,
          Runtime: manifest.runtime,
          'CPU cores': manifest.resources.cpu_cores,
          Memory: `${manifest.resources.memory_mb} MiB`,
        }}
      />
      <h2>Manifest</h2>
      <Json label={`Manifest of ${manifest.name}`} value={manifest} />
      <h2>Records of files</h2>
      <ArtifactTable artifacts={artifacts} />
    </>
  );
}
