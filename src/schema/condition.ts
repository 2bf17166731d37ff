// schema: what is known of a VM or a deployment beside its status, in the form that Kubernetes made common.

import { type Static, Type } from 'typebox';
import { Timestamp, Word } from './parts.ts';

const CONDITION_TYPES = [
  'Progressing',
  'Available',
  'Degraded',
  'Running',
  'ControlConnected',
  'HypervisorResponsive',
  'AgentResponsive',
  'WorkloadRunning',
  'NetworkInLine',
  'DisksWritable',
];

export const ConditionSchema = Type.Object(
  {
    type: Word(CONDITION_TYPES, 'The first three are of deployments, the others of VMs'),
    status: Type.Boolean(),
    reason: Type.String({ description: 'One word for programs' }),
    message: Type.String({ description: 'A sentence for a person' }),
    since: Timestamp('Last change of status or reason'),
  },
  { $id: 'Condition' },
);

export type Condition = Static<typeof ConditionSchema>;
