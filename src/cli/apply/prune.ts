// cli, apply: finds and deletes what has a label and is in no document any more.

import type { VolantClient } from '../../client/client.ts';
import { ApiError } from '../../client/errors.ts';
import type { Kind } from './documents.ts';
import { keyOf } from './documents.ts';
import { mapBounded } from './map-bounded.ts';
import { isObject } from './members.ts';

export interface Labelled {
  readonly kind: Kind;
  readonly name: string;
}

/** Values of `metadata` of a config, or of `labels` of a plugin, by name. */
export type Selector = Readonly<Record<string, string>>;

/**
 * The VMs, deployments and plugins that have all labels of the selector and are not kept. VMs of deployments belong to
 * their deployment. Plugins come last, because the others are made of them.
 */
export async function findPrunable(
  client: VolantClient,
  selector: Selector,
  kept: readonly Labelled[],
): Promise<readonly Labelled[]> {
  // VMs first: a deployment that is created after its list was read has no VM in the list of VMs.
  const { vms } = await client.vms.list();
  const deployments = await client.deployments.list();
  const replicas = new Set(deployments.flatMap((deployment) => deployment.replicas));
  const names = vms.map(({ name }) => name).filter((name) => !replicas.has(name));
  const found: readonly Labelled[] = [
    ...(await labelled('VM', names, selector, async (name) => {
      return (await client.configs.get(name)).config.metadata;
    })),
    ...deployments
      .filter(({ config }) => matches(config.metadata, selector))
      .map(({ name }) => ({ kind: 'Deployment' as const, name })),
    ...(await labelled('Plugin', await client.plugins.list(), selector, async (name) => {
      return (await client.plugins.get(name)).labels;
    })),
  ];
  const keys = new Set(kept.map(keyOf));
  return found.filter((object) => !keys.has(keyOf(object)));
}

/** Deletes one object; one that is gone already counts as deleted. */
export async function pruneObject(client: VolantClient, { kind, name }: Labelled): Promise<void> {
  try {
    if (kind === 'VM') await client.vms.destroy(name);
    else if (kind === 'Deployment') await client.deployments.delete(name);
    else await client.plugins.remove(name);
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 404)) throw error;
  }
}

async function labelled(
  kind: Kind,
  names: readonly string[],
  selector: Selector,
  labelsOf: (name: string) => Promise<unknown>,
): Promise<readonly Labelled[]> {
  const found = await mapBounded(names, async (name) => {
    try {
      return matches(await labelsOf(name), selector) ? [{ kind, name }] : [];
    } catch (error) {
      // It was deleted after the list was read.
      if (error instanceof ApiError && error.status === 404) return [];
      throw error;
    }
  });
  return found.flat();
}

/** Metadata may be any JSON; a number or boolean has the label of its text. */
function matches(labels: unknown, selector: Selector): boolean {
  return Object.entries(selector).every(([name, wanted]) => {
    const value = isObject(labels) && Object.hasOwn(labels, name) ? labels[name] : undefined;
    return ['string', 'number', 'boolean'].includes(typeof value) && String(value) === wanted;
  });
}
