// http, mcp: tools for plugins.

import { Type } from 'typebox';
import { ManifestSchema } from '../../../schema/manifest.ts';
import { PluginListSchema } from '../../../schema/plugin.ts';
import { NAME } from './arguments.ts';
import { outcomeOf, outputOf } from './outputs.ts';
import { CHANGES, defineTool, READS, REMOVES, type Tool } from './tool.ts';

const setEnabled = (name: string, description: string, enabled: boolean): Tool =>
  defineTool({
    name,
    scope: 'admin',
    description,
    input: Type.Object(NAME),
    output: outcomeOf('enabled'),
    hints: CHANGES,
    run: async ({ engine, cause }, { name: plugin }) => {
      await engine.plugins.setEnabled(plugin, enabled, cause);
      return { name: plugin, enabled };
    },
  });

export const PLUGIN_TOOLS: readonly Tool[] = [
  defineTool({
    name: 'volant.plugins.list',
    scope: 'read',
    description: 'List the names of the installed plugins.',
    input: Type.Object({}),
    output: outputOf(PluginListSchema),
    hints: READS,
    run: ({ engine }) => ({ plugins: engine.plugins.list() }),
  }),
  defineTool({
    name: 'volant.plugins.get',
    scope: 'read',
    description: 'Show the manifest of a plugin: its image, resources, workload and actions.',
    input: Type.Object(NAME),
    output: outputOf(ManifestSchema),
    hints: READS,
    run: ({ engine }, { name }) => engine.plugins.get(name),
  }),
  defineTool({
    name: 'volant.plugins.install',
    scope: 'admin',
    description:
      'Install a plugin from its manifest. It replaces a plugin of the same name; existing VMs keep the manifest they were created with.',
    input: Type.Object({ manifest: ManifestSchema }),
    output: outcomeOf('installed'),
    hints: REMOVES,
    run: async ({ engine, cause }, { manifest }) => {
      await engine.plugins.install(manifest, cause);
      return { name: manifest.name, installed: true };
    },
  }),
  setEnabled('volant.plugins.enable', 'Allow new VMs of a plugin again.', true),
  setEnabled('volant.plugins.disable', 'Allow no new VMs of a plugin. Existing VMs stay.', false),
  defineTool({
    name: 'volant.plugins.remove',
    scope: 'admin',
    description: 'Remove a plugin. Its VMs stay.',
    input: Type.Object(NAME),
    output: outcomeOf('removed'),
    hints: REMOVES,
    run: async ({ engine, cause }, { name }) => {
      await engine.plugins.remove(name, cause);
      return { name, removed: true };
    },
  }),
];
