// ui, pages: the configs that a deployment has had, what each changed, and the way back to one of them.

import { useState } from 'preact/hooks';
import type { Deployment, DeploymentRevision } from '../../../src/client/types.ts';
import { differences } from '../../base/differences.ts';
import { api } from '../../data/api.ts';
import { useResource } from '../../data/resource.ts';
import { confirm } from '../../parts/dialog.tsx';
import { DifferenceTable } from '../../parts/difference-table.tsx';
import { Failure, Loading } from '../../parts/states.tsx';
import { TimeAgo } from '../../parts/time-ago.tsx';
import { tellProgress } from '../../parts/toasts.tsx';

/** What is asked before has so many of the actions of the daemon. */
const ACTIONS_SHOWN_MAX = 6;

export function Revisions({ deployment }: { readonly deployment: Deployment }) {
  const { name, revision, status } = deployment;
  const [list, reload] = useResource(
    `${name} ${revision}`,
    (signal) => api().deployments.revisions(name, { signal }),
    () => false,
  );
  const [compared, setCompared] = useState<number | null>(null);
  if (list.state === 'loading') return <Loading what="revisions" />;
  if (list.state === 'failed') {
    return <Failure what="The revisions" error={list.error} onRetry={reload} />;
  }
  const current = list.value.find((each) => each.current);
  const chosen = list.value.find((each) => each.revision === compared);
  return (
    <>
      <h2>Revisions</h2>
      <div class="scroll">
        <table class="plain">
          <thead>
            <tr>
              <th scope="col">Revision</th>
              <th scope="col">Made</th>
              <th scope="col">Changes</th>
              <th scope="col">
                <span class="hidden">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {list.value.map((each) => (
              <Row
                key={each.revision}
                revision={each}
                isOld={!each.current && status === 'active'}
                onCompare={() => setCompared(each.revision === compared ? null : each.revision)}
                onRollback={() => void rollBack(name, each.revision)}
              />
            ))}
          </tbody>
        </table>
      </div>
      {chosen !== undefined && current !== undefined && (
        <DifferenceTable
          label={`Revision ${chosen.revision} compared with revision ${current.revision}`}
          differences={differences(chosen.config, current.config)}
        />
      )}
    </>
  );
}

interface RowProps {
  readonly revision: DeploymentRevision;
  readonly isOld: boolean;
  readonly onCompare: () => void;
  readonly onRollback: () => void;
}

function Row({ revision, isOld, onCompare, onRollback }: RowProps) {
  const { current, created_at, cause, client, changes, restored_from } = revision;
  return (
    <tr>
      <th scope="row">
        {revision.revision}
        {current ? ', the current one' : ''}
      </th>
      <td>
        {created_at === null ? 'unknown' : <TimeAgo at={created_at} />}
        <div class="dim">{[cause, client].filter((text) => text !== undefined).join(', ')}</div>
      </td>
      <td>
        {restored_from !== undefined && <div>restored from revision {restored_from}</div>}
        <span class="mono">{changes.join(', ')}</span>
      </td>
      <td class="end">
        {isOld && (
          <span class="actions">
            <button type="button" onClick={onCompare}>
              Compare
            </button>
            <button type="button" onClick={onRollback}>
              Roll back
            </button>
          </span>
        )}
      </td>
    </tr>
  );
}

/** Asks with what the daemon would do, as the daemon says it. */
async function rollBack(name: string, revision: number): Promise<void> {
  const plan = await tellProgress(
    `Asking what a roll-back of ${name} would do…`,
    () => api().deployments.planRollback(name, { revision }),
    () => `The daemon has said what a roll-back of ${name} would do`,
  );
  if (plan === undefined) return;
  const more = plan.actions.length - ACTIONS_SHOWN_MAX;
  const text = (
    <>
      <p>The config of revision {revision} is restored, replica by replica:</p>
      <ul>
        {plan.actions.slice(0, ACTIONS_SHOWN_MAX).map(({ action, subject }) => (
          <li key={`${action} ${subject}`}>
            {action} {subject}
          </li>
        ))}
        {more > 0 && <li>and {more} more</li>}
      </ul>
    </>
  );
  const title = `Roll ${name} back to revision ${revision}?`;
  if (!(await confirm({ title, text, action: 'Roll back' }))) return;
  await tellProgress(
    `Rolling ${name} back…`,
    () => api().deployments.rollback(name, { revision }),
    () => `${name} goes back to revision ${revision}`,
  );
}
