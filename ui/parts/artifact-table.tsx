// ui, parts: records of the files of plugins.

import type { Artifact } from '../../src/client/types.ts';
import { bytes } from '../base/amounts.ts';
import { to } from '../base/router.ts';

export function ArtifactTable({ artifacts }: { readonly artifacts: readonly Artifact[] }) {
  if (artifacts.length === 0) return <p class="dim">There are no records.</p>;
  return (
    <div class="scroll">
      <table class="plain">
        <thead>
          <tr>
            <th scope="col">File</th>
            <th scope="col">Plugin</th>
            <th scope="col">Kind</th>
            <th scope="col" class="end">
              Size
            </th>
            <th scope="col">Where</th>
          </tr>
        </thead>
        <tbody>
          {artifacts.map((each) => (
            <tr key={`${each.plugin} ${each.version} ${each.artifact_name}`}>
              <th scope="row">{each.artifact_name}</th>
              <td>
                <a href={to(['plugins', each.plugin])}>{each.plugin}</a> {each.version}
              </td>
              <td>{[each.kind, each.format].filter((text) => text !== '').join(', ')}</td>
              <td class="end">{each.size_bytes === 0 ? '–' : bytes(each.size_bytes)}</td>
              <td class="mono">{each.local_path || each.source_url || '–'}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
