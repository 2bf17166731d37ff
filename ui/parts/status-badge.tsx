// ui, parts: the status of something as a word with a mark. The mark has a shape and a colour; the word says it all.

const TONES: Readonly<Record<string, string>> = {
  running: 'good',
  crashed: 'bad',
  pending: 'busy',
  starting: 'busy',
  stopping: 'busy',
  deleting: 'busy',
};

export interface StatusBadgeProps {
  readonly status: string;
  /** `good`, `bad`, `busy`, `warn` or `idle`; by default that of the status of a VM. */
  readonly tone?: string;
  readonly title?: string | undefined;
}

export function StatusBadge({ status, tone, title }: StatusBadgeProps) {
  return (
    <span class={`badge badge-${tone ?? TONES[status] ?? 'idle'}`} title={title}>
      {status}
    </span>
  );
}
