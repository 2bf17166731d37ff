// client: which method stands for which operation of the contract. A test holds it to the table of
// operations, so an operation cannot be added without its method.

import type { VolantClient } from './client.ts';

type MethodOf<Group extends keyof VolantClient> =
  `${Group}.${Extract<keyof VolantClient[Group], string>}`;

/** The name of a method, such as `vms.create`. */
export type MethodName = { [Group in keyof VolantClient]: MethodOf<Group> }[keyof VolantClient];

/** Operation id -> method. */
export const METHODS = {
  getHealth: 'system.health',
  getOpenAPI: 'system.openapi',
  getSystemInfo: 'system.info',
  auditSystem: 'system.audit',
  getSystemStatus: 'system.status',
  backupState: 'system.backup',
  getSystemSummary: 'system.summary',
  postMCPCommand: 'system.mcp',
  streamEvents: 'events.all',
  streamVMEvents: 'events.vms',
  listVMs: 'vms.list',
  createVM: 'vms.create',
  getVMByName: 'vms.get',
  listVMOperations: 'vms.operations',
  destroyVM: 'vms.destroy',
  startVM: 'vms.start',
  stopVM: 'vms.stop',
  restartVM: 'vms.restart',
  getVMOpenAPI: 'vms.openapi',
  getVMConsoleLog: 'vms.consoleLog',
  getVMConfig: 'configs.get',
  updateVMConfig: 'configs.update',
  getVMConfigHistory: 'configs.history',
  listDeployments: 'deployments.list',
  createDeployment: 'deployments.create',
  getDeployment: 'deployments.get',
  scaleDeployment: 'deployments.scale',
  deleteDeployment: 'deployments.delete',
  listPlugins: 'plugins.list',
  installPlugin: 'plugins.install',
  getPlugin: 'plugins.get',
  removePlugin: 'plugins.remove',
  setPluginEnabled: 'plugins.setEnabled',
  getPluginManifest: 'plugins.manifest',
  listPluginArtifacts: 'plugins.listArtifacts',
  putPluginArtifact: 'plugins.putArtifact',
  getPluginArtifact: 'plugins.getArtifact',
  removePluginArtifacts: 'plugins.removeArtifacts',
  runVMAction: 'agent.action',
  getVFIODeviceInfo: 'vfio.info',
  validateVFIODevices: 'vfio.validate',
  checkVFIOIOMMUGroups: 'vfio.iommuGroups',
  bindVFIODevices: 'vfio.bind',
  unbindVFIODevices: 'vfio.unbind',
  getVFIOGroupPaths: 'vfio.groupPaths',
} as const satisfies Readonly<Record<string, MethodName>>;
