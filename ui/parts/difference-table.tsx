// ui, parts: what differs between two versions of something, member by member.

import { type Difference, valueText } from '../base/differences.ts';

export interface DifferenceTableProps {
  readonly label: string;
  readonly differences: readonly Difference[];
}

/** A whole manifest may differ; nobody reads more. */
const SHOWN_MAX = 500;

export function DifferenceTable({ label, differences }: DifferenceTableProps) {
  if (differences.length === 0) return <p class="dim">{label}: nothing differs.</p>;
  return (
    <div class="scroll">
      <table class="plain">
        <caption>
          {label}: {differences.length} {differences.length === 1 ? 'change' : 'changes'}
        </caption>
        <thead>
          <tr>
            <th scope="col">Member</th>
            <th scope="col">Before</th>
            <th scope="col">After</th>
          </tr>
        </thead>
        <tbody>
          {differences.slice(0, SHOWN_MAX).map(({ path, before, after }) => (
            <tr key={path}>
              <th scope="row" class="mono">
                {path}
              </th>
              <td class={before === undefined ? 'dim' : 'removed'}>
                {before === undefined ? 'not set' : valueText(before)}
              </td>
              <td class={after === undefined ? 'dim' : 'added'}>
                {after === undefined ? 'not set' : valueText(after)}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
