// http, mcp: tools for the configs of VMs.

import { Type } from 'typebox';
import { LIMITS } from '../../../config/limits.ts';
import {
  ConfigEnvelopeSchema,
  ConfigHistorySchema,
  ConfigPatchSchema,
} from '../../../schema/config-patch.ts';
import { DRY_RUN, LIMIT, NAME } from './arguments.ts';
import { outputOf } from './outputs.ts';
import { defineTool, INTERRUPTS, READS, type Tool } from './tool.ts';

export const CONFIG_TOOLS: readonly Tool[] = [
  defineTool({
    name: 'volant.vms.config.get',
    scope: 'read',
    description: 'Show the newest config of a VM and whether the VM runs with it already.',
    input: Type.Object(NAME),
    output: outputOf(ConfigEnvelopeSchema),
    hints: READS,
    run: ({ engine }, { name }) => engine.configs.get(name),
  }),
  defineTool({
    name: 'volant.vms.config.patch',
    scope: 'operate',
    description:
      'Change members of the config of a VM; null removes one. The next start uses the new version.',
    input: Type.Object({ ...NAME, patch: ConfigPatchSchema, ...DRY_RUN }),
    output: outputOf(ConfigEnvelopeSchema),
    hints: INTERRUPTS,
    run: ({ engine, cause }, { name, patch, dry_run: isDryRun }) =>
      isDryRun === true
        ? engine.configs.planPatch(name, patch)
        : engine.configs.patch(name, patch, undefined, cause),
  }),
  defineTool({
    name: 'volant.vms.config.history',
    scope: 'read',
    description: 'List the versions of the config of a VM, newest first.',
    input: Type.Object({ ...NAME, ...LIMIT }),
    output: outputOf(Type.Object({ history: ConfigHistorySchema })),
    hints: READS,
    run: ({ engine }, { name, limit = LIMITS.mcpPageDefault }) => ({
      history: engine.configs.history(name, limit),
    }),
  }),
];
