// ui, app: shows the page that the path has, when its module is loaded.

import type { ComponentChildren, ComponentType } from 'preact';
import { Component } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { parametersIn, place, to } from '../base/router.ts';
import { Empty, Failure, Loading } from '../parts/states.tsx';
import { PAGES, type PageEntry, type PageProps } from './pages.ts';

interface Found extends PageProps {
  readonly entry: PageEntry;
}

export function pageAt(path: string): Found | null {
  for (const entry of PAGES) {
    const parameters = parametersIn(entry.path, path);
    if (parameters !== null) return { entry, parameters };
  }
  return null;
}

type Module = ComponentType<PageProps> | Error | null;

export function CurrentPage() {
  const { path } = place.value;
  const found = pageAt(path);
  const [loaded, setLoaded] = useState<readonly [PageEntry | undefined, Module]>([undefined, null]);
  const entry = found?.entry;
  useEffect(() => {
    document.title = entry === undefined ? 'Volant' : `${entry.title} · Volant`;
    let isCurrent = true;
    const set = (module: Module) => {
      if (isCurrent) setLoaded([entry, module]);
    };
    entry?.load().then(
      ({ Page }) => set(Page),
      (error) => set(error instanceof Error ? error : new Error(String(error))),
    );
    return () => {
      isCurrent = false;
    };
  }, [entry]);
  if (found === null) {
    return (
      <Empty title="There is no such page">
        <p>
          <a href={to(['vms'])}>Go to the VMs</a>
        </p>
      </Empty>
    );
  }
  const [of, Loaded] = loaded;
  if (of !== entry || Loaded === null) return <Loading what={found.entry.title} />;
  if (Loaded instanceof Error)
    return <Failure what="This page" error={Loaded} onRetry={reloadAll} />;
  return (
    <Boundary key={path}>
      <Loaded parameters={found.parameters} />
    </Boundary>
  );
}

/** A newer daemon has other files: the whole dashboard is loaded again. */
const reloadAll = () => location.reload();

interface BoundaryProps {
  readonly children: ComponentChildren;
}

/** A bug of one page leaves the others usable. */
class Boundary extends Component<BoundaryProps, { readonly error: Error | null }> {
  override state = { error: null };

  static override getDerivedStateFromError(error: unknown) {
    return { error: error instanceof Error ? error : new Error(String(error)) };
  }

  override render() {
    const { error } = this.state;
    if (error !== null) return <Failure what="This page" error={error} onRetry={reloadAll} />;
    return this.props.children;
  }
}
