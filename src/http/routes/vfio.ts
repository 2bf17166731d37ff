// http, routes: PCI devices.

import type { DevicesCheck } from '../../schema/vfio.ts';
import type { Handlers } from '../handlers.ts';
import { errorReply, json, type Reply } from '../reply.ts';
import { requested } from '../request-id.ts';

export const vfioRoutes = {
  getVFIODeviceInfo: async ({ engine }, _head, body) =>
    json(200, await engine.devices.info((body as { pci_address: string }).pci_address)),
  validateVFIODevices: async ({ engine }, _head, body) =>
    json(200, await engine.devices.validate(body as DevicesCheck)),
  checkVFIOIOMMUGroups: async ({ engine }, _head, body) =>
    json(200, await engine.devices.groups(addressesIn(body))),
  bindVFIODevices: async ({ engine }, head, body) => {
    try {
      const bound = await engine.devices.bind(addressesIn(body), requested(head));
      const message = `${bound.length} devices are bound to vfio-pci`;
      return json(200, { success: true, message, bound_devices: bound });
    } catch (error) {
      return refused(error, { bound_devices: [] });
    }
  },
  unbindVFIODevices: async ({ engine }, head, body) => {
    try {
      const { done, failure } = await engine.devices.unbind(addressesIn(body), requested(head));
      if (failure !== null) return refused(failure, { unbound_devices: done });
      const message = `${done.length} devices are given back`;
      return json(200, { success: true, message, unbound_devices: done });
    } catch (error) {
      return refused(error, { unbound_devices: [] });
    }
  },
  getVFIOGroupPaths: async ({ engine }, _head, body) =>
    json(200, { group_paths: await engine.devices.groupPaths(addressesIn(body)) }),
} satisfies Partial<Handlers>;

function addressesIn(body: unknown): readonly string[] {
  return (body as { pci_addresses: string[] }).pci_addresses;
}

/** Clients of these two look for `success` and `message` also in a refusal. */
function refused(thrown: unknown, done: Readonly<Record<string, readonly string[]>>): Reply {
  const { error, ...reply } = errorReply(thrown);
  if (error.code === 'INTERNAL') throw thrown;
  const shape = { ...JSON.parse(reply.body ?? '{}'), success: false, message: error.message };
  return { ...reply, body: JSON.stringify({ ...shape, ...done }) };
}
