// schema: conditions of a VM or a deployment, statements in addition to its status, in the form of Kubernetes conditions.

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
    type: Word(CONDITION_TYPES, 'The first three are for deployments, the others for VMs'),
    status: Type.Boolean(),
    reason: Type.String({ description: 'One word for programs' }),
    message: Type.String({ description: 'A sentence for a person' }),
    since: Timestamp('Time of the last change of status or reason'),
  },
  { $id: 'Condition' },
);

export type Condition = Static<typeof ConditionSchema>;
