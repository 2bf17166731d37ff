// ui, app: the pages: the path of each, its place in the navigation, and its module. To add a page is to add an entry here.

import type { ComponentType } from 'preact';

export interface PageProps {
  /** Values of the parts of the path that begin with a colon. */
  readonly parameters: Readonly<Record<string, string>>;
}

export interface PageModule {
  readonly Page: ComponentType<PageProps>;
}

export interface PageEntry {
  readonly path: string;
  /** For the title of the window. */
  readonly title: string;
  /** The second key of its shortcut, after `g`. Only pages with a key are in the navigation. */
  readonly key?: string;
  /** The path of the entry of the navigation that it belongs to; its own by default. */
  readonly below?: string;
  /** A file of its own in the bundle, loaded when the page is opened. */
  readonly load: () => Promise<PageModule>;
}

export const PAGES: readonly PageEntry[] = [
  { path: '/vms', title: 'VMs', key: 'v', load: () => import('../pages/vms.tsx') },
  { path: '/vms/:name', title: 'VM', below: '/vms', load: () => import('../pages/vm/vm.tsx') },
  {
    path: '/deployments',
    title: 'Deployments',
    key: 'd',
    load: () => import('../pages/deployments/deployments.tsx'),
  },
  {
    path: '/deployments/:name',
    title: 'Deployment',
    below: '/deployments',
    load: () => import('../pages/deployments/deployment.tsx'),
  },
  { path: '/events', title: 'Events', key: 'e', load: () => import('../pages/events.tsx') },
  {
    path: '/plugins',
    title: 'Plugins',
    key: 'p',
    load: () => import('../pages/plugins/plugins.tsx'),
  },
  {
    path: '/plugins/:name',
    title: 'Plugin',
    below: '/plugins',
    load: () => import('../pages/plugins/plugin.tsx'),
  },
  { path: '/images', title: 'Images', key: 'i', load: () => import('../pages/images/images.tsx') },
  { path: '/devices', title: 'Devices', key: 'x', load: () => import('../pages/devices.tsx') },
  { path: '/host', title: 'Host', key: 'h', load: () => import('../pages/host/host.tsx') },
  { path: '/create/:kind', title: 'Create', load: () => import('../pages/create/create.tsx') },
];
