// schema: egress rules, and what the guests that are held to them have sent.

import { type Static, Type } from 'typebox';
import { LIMITS } from '../config/limits.ts';
import { Int64, Nullable, Word } from './parts.ts';

const ENTRY =
  'An IPv4 address, a network in CIDR notation, a name, or *. and a name for all names below it; each may end in a port (:443) or ports (:8000-8100)';

const Entries = (description: string) =>
  Type.Array(Type.String({ description: ENTRY }), { description });

export const EgressSchema = Type.Object(
  {
    default: Type.Optional(Word(['allow', 'deny'], 'For everything that no entry names; required')),
    allow: Type.Optional(Entries('What the guest may reach')),
    deny: Type.Optional(
      Entries(
        `What the guest may not reach; counts before allow. Both lists together have at most ${LIMITS.egressEntriesMax} entries`,
      ),
    ),
  },
  {
    $id: 'Egress',
    description:
      'What a guest may reach. A change applies to a running guest at once, and ends connections that it forbids',
  },
);

export type EgressInput = Static<typeof EgressSchema>;

const Packets = (description: string) => Int64({ description });

export const EgressStatusSchema = Type.Object(
  {
    rules: Nullable(
      Type.Object(
        {
          default: Word(['allow', 'deny']),
          allow: Type.Array(Type.String()),
          deny: Type.Array(Type.String()),
        },
        {
          $id: 'EgressRules',
          description: 'The rules in force, in normal form; null for a VM without rules',
        },
      ),
    ),
    in_force: Type.Boolean({ description: 'Whether the host holds a running guest to rules now' }),
    packets: Packets('Packets that the guest sent and that its rules let pass'),
    bytes: Packets('Their bytes'),
    refused_packets: Packets('Packets that its rules refused'),
    refused_bytes: Packets('Their bytes'),
  },
  {
    $id: 'EgressStatus',
    description:
      'The egress rules of a VM and its counters. They count from the start of the guest; 0 while it has no rules',
  },
);

export type EgressStatus = Static<typeof EgressStatusSchema>;
