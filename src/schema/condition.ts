// schema: what is known of a VM or a deployment beside its status, in the form that Kubernetes made common.

import { type Static, Type } from 'typebox';

export const ConditionSchema = Type.Object({
  type: Type.String({
    description:
      'Of a deployment: Progressing, Available or Degraded. Of a VM: Running, ControlConnected, HypervisorResponsive, AgentResponsive, NetworkInLine or DisksWritable',
  }),
  status: Type.Boolean(),
  reason: Type.String({ description: 'One word for programs' }),
  message: Type.String({ description: 'A sentence for a person' }),
  since: Type.String({ format: 'date-time', description: 'Last change of status or reason' }),
});

export type Condition = Static<typeof ConditionSchema>;
