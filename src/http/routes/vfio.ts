// http, routes: PCI devices.

import type { VolantError } from '../../lib/errors.ts';
import type { DevicesCheck } from '../../schema/vfio.ts';
import { errorReply, json } from '../exchange/reply.ts';
import { requested } from '../exchange/request-id.ts';
import type { Handlers } from '../handlers.ts';

export const vfioRoutes = {
  getVFIODeviceInfo: async ({ engine }, _head, body) =>
    json(200, await engine.devices.info((body as { pci_address: string }).pci_address)),
  validateVFIODevices: async ({ engine }, _head, body) =>
    json(200, await engine.devices.validate(body as DevicesCheck)),
  checkVFIOIOMMUGroups: async ({ engine }, _head, body) =>
    json(200, await engine.devices.groups(addressesIn(body))),
  bindVFIODevices: {
    handle: async ({ engine }, head, body) => {
      const bound = await engine.devices.bind(addressesIn(body), requested(head));
      const message = `${bound.length} devices are bound to vfio-pci`;
      return json(200, { success: true, message, bound_devices: bound });
    },
    refusal: (error) => refusal(error, { bound_devices: [] }),
  },
  unbindVFIODevices: {
    handle: async ({ engine }, head, body) => {
      const { done, failure } = await engine.devices.unbind(addressesIn(body), requested(head));
      if (failure !== null) {
        const { error: _, ...reply } = errorReply(failure, (error) =>
          refusal(error, { unbound_devices: done }),
        );
        return reply;
      }
      const message = `${done.length} devices were returned to their drivers`;
      return json(200, { success: true, message, unbound_devices: done });
    },
    refusal: (error) => refusal(error, { unbound_devices: [] }),
  },
  getVFIOGroupPaths: async ({ engine }, _head, body) =>
    json(200, { group_paths: await engine.devices.groupPaths(addressesIn(body)) }),
} satisfies Partial<Handlers>;

function addressesIn(body: unknown): readonly string[] {
  return (body as { pci_addresses: string[] }).pci_addresses;
}

/** Clients of these two operations expect `success` and `message` in error bodies, too. */
function refusal({ message }: VolantError, done: Readonly<Record<string, readonly string[]>>) {
  return { success: false, message, ...done };
}
