// schema, operations: PCI devices and VFIO.

import { Type } from 'typebox';
import { LIMITS } from '../../config/limits.ts';
import {
  DeviceGroupsRequestSchema,
  DeviceInfoRequestSchema,
  DeviceInfoSchema,
  DevicesBoundSchema,
  DevicesCheckSchema,
  DevicesRequestSchema,
  DevicesUnboundSchema,
  DevicesValidSchema,
  GroupPathsSchema,
  IommuGroupSchema,
} from '../vfio.ts';
import { errors, type Operation } from './operation.ts';

const bytesMax = LIMITS.bodyBytesMax;

export const VFIO_OPERATIONS = {
  getVFIODeviceInfo: {
    scope: 'admin',
    method: 'POST',
    path: '/api/v1/vfio/devices/info',
    tags: ['vfio'],
    summary: 'Get PCI device information',
    request: { schema: DeviceInfoRequestSchema, bytesMax },
    answers: {
      200: { description: 'Device information', schema: DeviceInfoSchema },
      ...errors(400, 404, 413, 500),
    },
  },
  validateVFIODevices: {
    scope: 'admin',
    method: 'POST',
    path: '/api/v1/vfio/devices/validate',
    tags: ['vfio'],
    summary: 'Validate PCI devices for passthrough',
    description: 'Checks all devices and returns every problem; changes nothing.',
    request: { schema: DevicesCheckSchema, bytesMax },
    answers: {
      200: { description: 'Whether the devices can be passed to a VM', schema: DevicesValidSchema },
      ...errors(400, 413, 500),
    },
  },
  checkVFIOIOMMUGroups: {
    scope: 'admin',
    method: 'POST',
    path: '/api/v1/vfio/devices/iommu-groups',
    tags: ['vfio'],
    summary: 'Get the IOMMU groups of PCI devices',
    request: { schema: DeviceGroupsRequestSchema, bytesMax },
    answers: {
      200: { description: 'Groups with all their devices', schema: Type.Array(IommuGroupSchema) },
      ...errors(400, 404, 413, 500, 503),
    },
  },
  bindVFIODevices: {
    scope: 'admin',
    method: 'POST',
    path: '/api/v1/vfio/devices/bind',
    tags: ['vfio'],
    summary: 'Bind PCI devices to vfio-pci',
    description: 'All or none; the earlier drivers are recorded.',
    request: { schema: DevicesRequestSchema, bytesMax },
    answers: {
      200: { description: 'Bound', schema: DevicesBoundSchema },
      ...errors(400, 403, 404, 409, 413, 500, 503),
    },
  },
  unbindVFIODevices: {
    scope: 'admin',
    method: 'POST',
    path: '/api/v1/vfio/devices/unbind',
    tags: ['vfio'],
    summary: 'Return PCI devices to their drivers',
    request: { schema: DevicesRequestSchema, bytesMax },
    answers: {
      200: { description: 'Given back', schema: DevicesUnboundSchema },
      ...errors(400, 403, 404, 409, 413, 500, 503),
    },
  },
  getVFIOGroupPaths: {
    scope: 'admin',
    method: 'POST',
    path: '/api/v1/vfio/devices/group-paths',
    tags: ['vfio'],
    summary: 'Get the /dev/vfio paths of PCI devices',
    request: { schema: DevicesRequestSchema, bytesMax },
    answers: {
      200: { description: 'Unique, sorted', schema: GroupPathsSchema },
      ...errors(400, 404, 409, 413, 500, 503),
    },
  },
} as const satisfies Record<string, Operation>;
