// ui, pages: PCI devices of the host for guests. The API looks devices up by their addresses and lists none, so the user
// names them; the addresses are kept in the address of the page.

import { useState } from 'preact/hooks';
import type { IommuGroup, VfioDeviceInfo, VfioVerdict } from '../../src/client/vfio.ts';
import { place, replaceQuery } from '../base/router.ts';
import { api } from '../data/api.ts';
import { confirm } from '../parts/dialog.tsx';
import { StatusBadge } from '../parts/status-badge.tsx';
import { tellProgress } from '../parts/toasts.tsx';

interface Found {
  readonly verdict: VfioVerdict;
  readonly devices: readonly VfioDeviceInfo[];
  readonly groups: readonly IommuGroup[];
}

/** As many as a person looks at; each is a request. */
const ADDRESSES_MAX = 32;

const addressesIn = (text: string): readonly string[] =>
  [...new Set(text.split(/[\s,]+/).filter((part) => part !== ''))].slice(0, ADDRESSES_MAX);

async function lookUp(addresses: readonly string[]): Promise<Found> {
  const verdict = await api().vfio.validate(addresses);
  const devices: VfioDeviceInfo[] = [];
  for (const address of addresses) devices.push(await api().vfio.info(address));
  return { verdict, devices, groups: await api().vfio.iommuGroups(addresses) };
}

export function Page() {
  const [text, setText] = useState(() => place.peek().query.get('addresses') ?? '');
  const [found, setFound] = useState<Found | null>(null);
  const addresses = addressesIn(text);
  const show = async () => {
    replaceQuery({ addresses: addresses.join(' ') });
    const answer = await tellProgress(
      'Looking devices up…',
      () => lookUp(addresses),
      ({ devices }) => `Found ${devices.length} devices`,
    );
    setFound(answer ?? null);
  };
  const change = async (action: 'bind' | 'unbind') => {
    const isBind = action === 'bind';
    const title = isBind ? 'Give these devices to guests?' : 'Give these devices back to the host?';
    const why = isBind
      ? 'The drivers of the host let them go: what the host does with them ends.'
      : 'No VM can have them until they are bound again.';
    const question = {
      title,
      text: `${addresses.join(', ')}. ${why}`,
      action: isBind ? 'Bind' : 'Unbind',
    };
    if (!(await confirm({ ...question, isDangerous: isBind }))) return;
    await tellProgress(
      isBind ? 'Binding…' : 'Unbinding…',
      async () => {
        const { vfio } = api();
        const { message } = isBind ? await vfio.bind(addresses) : await vfio.unbind(addresses);
        return message;
      },
      (message) => message,
    );
    await show();
  };
  return (
    <section class="page" aria-labelledby="page-title">
      <h1 id="page-title">Devices</h1>
      <p class="dim">
        PCI devices that VMs can have by VFIO. <code>lspci -D</code> lists the addresses of the
        host.
      </p>
      <form
        class="create"
        onSubmit={(event) => {
          event.preventDefault();
          void show();
        }}
      >
        <div class="field">
          <label for="addresses">PCI addresses</label>
          <input
            id="addresses"
            type="text"
            class="mono"
            placeholder="0000:01:00.0 0000:01:00.1"
            spellcheck={false}
            value={text}
            onInput={({ currentTarget }) => setText(currentTarget.value)}
          />
        </div>
        <div class="form-actions">
          <button type="submit" class="primary" disabled={addresses.length === 0}>
            Look up
          </button>
          <button type="button" disabled={found === null} onClick={() => void change('bind')}>
            Bind for guests
          </button>
          <button type="button" disabled={found === null} onClick={() => void change('unbind')}>
            Give back
          </button>
        </div>
      </form>
      {found !== null && <Result found={found} />}
    </section>
  );
}

function Result({ found: { verdict, devices, groups } }: { readonly found: Found }) {
  const othersIn = (group: string) => groups.find(({ id }) => id === group)?.devices ?? [];
  return (
    <>
      <p>
        <StatusBadge
          status={verdict.valid ? 'can be given to guests' : 'cannot be given to guests'}
          tone={verdict.valid ? 'good' : 'warn'}
        />{' '}
        <span class="dim">{[verdict.message, ...(verdict.errors ?? [])].join('. ')}</span>
      </p>
      <div class="scroll">
        <table class="plain">
          <thead>
            <tr>
              <th scope="col">Address</th>
              <th scope="col">Vendor and device</th>
              <th scope="col">Driver</th>
              <th scope="col">IOMMU group</th>
            </tr>
          </thead>
          <tbody>
            {devices.map(({ address, vendor, device, driver, iommu_group }) => (
              <tr key={address}>
                <th scope="row" class="mono">
                  {address}
                </th>
                <td class="mono">
                  {vendor}:{device}
                </td>
                <td>{driver || 'none'}</td>
                <td>
                  {iommu_group} <span class="mono dim">{othersIn(iommu_group).join(' ')}</span>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}
