// ui, pages: compares the host with the records, when the user asks for it, and repairs what differs.

import { useState } from 'preact/hooks';
import type { AuditReport } from '../../../src/client/types.ts';
import { to } from '../../base/router.ts';
import { api } from '../../data/api.ts';
import { confirm } from '../../parts/dialog.tsx';
import { StatusBadge } from '../../parts/status-badge.tsx';
import { tellProgress } from '../../parts/toasts.tsx';

export function Audit() {
  const [report, setReport] = useState<AuditReport | null>(null);
  const [isBusy, setBusy] = useState(false);
  const run = async (repair: boolean) => {
    setBusy(true);
    const answer = await tellProgress(
      repair ? 'Repairing the host…' : 'Comparing the host with the records…',
      () => api().system.audit({ repair }),
      ({ repaired, differences }) =>
        repair ? `Repaired ${repaired} differences` : `Found ${differences.length} differences`,
    );
    setBusy(false);
    if (answer !== undefined) setReport(answer);
  };
  const repair = async () => {
    const title = 'Repair the host?';
    const text =
      'What belongs to no VM is removed, and what a running VM lacks is made again. VMs that run are not touched.';
    if (await confirm({ title, text, action: 'Repair' })) await run(true);
  };
  const canRepair = report?.differences.some(({ remedy }) => remedy === null) ?? false;
  return (
    <>
      <div class="page-head">
        <h2>Audit</h2>
        {report !== null && (
          <StatusBadge
            status={report.clean ? 'clean' : `${report.differences.length} differences`}
            tone={report.clean ? 'good' : 'warn'}
          />
        )}
        <div class="actions">
          <button type="button" disabled={isBusy} onClick={() => void run(false)}>
            Compare with the records
          </button>
          {canRepair && (
            <button type="button" disabled={isBusy} onClick={() => void repair()}>
              Repair
            </button>
          )}
        </div>
      </div>
      {report === null ? (
        <p class="dim">Processes, networks, addresses and files of VMs are compared on request.</p>
      ) : (
        <Report report={report} />
      )}
    </>
  );
}

/** A host that lost everything has thousands; the number is shown anyway. */
const SHOWN_MAX = 200;

function Report({ report: { differences, in_progress, checked, repaired } }: ReportProps) {
  const counts = Object.entries(checked).map(([what, count]) => `${count} ${what}`);
  return (
    <>
      <p class="dim">
        Compared: {counts.join(', ')}. {repaired > 0 ? `Repaired: ${repaired}. ` : ''}
        {in_progress.length > 0 ? `Not compared, as they change: ${in_progress.join(', ')}.` : ''}
      </p>
      {differences.length > 0 && (
        <div class="scroll">
          <table class="plain">
            <thead>
              <tr>
                <th scope="col">Difference</th>
                <th scope="col">Subject</th>
                <th scope="col">VM</th>
                <th scope="col">Remedy</th>
              </tr>
            </thead>
            <tbody>
              {differences.slice(0, SHOWN_MAX).map(({ kind, subject, vm, remedy }) => (
                <tr key={`${kind} ${subject}`}>
                  <th scope="row" class="mono">
                    {kind}
                  </th>
                  <td>{subject}</td>
                  <td>{vm === null ? '–' : <a href={to(['vms', vm])}>{vm}</a>}</td>
                  <td>{remedy ?? 'a repair'}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}

interface ReportProps {
  readonly report: AuditReport;
}
