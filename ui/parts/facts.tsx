// ui, parts: facts about one thing: names with values, conditions, and JSON as it is.

import type { ComponentChildren } from 'preact';
import type { Condition } from '../../src/schema/condition.ts';
import { StatusBadge } from './status-badge.tsx';

export function Facts({ facts }: { readonly facts: Readonly<Record<string, ComponentChildren>> }) {
  return (
    <dl class="facts">
      {Object.entries(facts).map(([label, value]) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** The good state is true, but of these: being degraded is bad, and progress is neither. */
function toneOf({ type, status }: Condition): string {
  if (type === 'Progressing') return status ? 'busy' : 'idle';
  if (type === 'Degraded') return status ? 'bad' : 'good';
  return status ? 'good' : 'bad';
}

export function Conditions({ conditions }: { readonly conditions: readonly Condition[] }) {
  if (conditions.length === 0) return null;
  return (
    <>
      <h2>Conditions</h2>
      <ul class="conditions">
        {conditions.map((condition) => (
          <li key={condition.type}>
            <StatusBadge status={condition.status ? 'true' : 'false'} tone={toneOf(condition)} />
            <strong>{condition.type}</strong>{' '}
            <span class="dim">
              {condition.message === '' ? condition.reason : condition.message}
            </span>
          </li>
        ))}
      </ul>
    </>
  );
}

export function Json({ label, value }: { readonly label: string; readonly value: unknown }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so keys must reach it
    <section class="json" aria-label={label} tabIndex={0}>
      <pre>{JSON.stringify(value, null, 2)}</pre>
    </section>
  );
}
