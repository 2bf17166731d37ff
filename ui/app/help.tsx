// ui, app: the dialog with the keys of the page that is shown.

import { signal } from '@preact/signals';
import { shortcuts } from '../base/shortcuts.ts';
import { Dialog } from '../parts/dialog.tsx';

export const isHelpOpen = signal(false);

/** Keys of every table; they work while a row has the focus. */
const TABLE_KEYS = [
  { keys: '↑ ↓ or j k', label: 'Previous or next row' },
  { keys: 'Space', label: 'Select the row' },
  { keys: 'Enter', label: 'Open the row' },
];

export function Help() {
  if (!isHelpOpen.value) return null;
  const close = () => {
    isHelpOpen.value = false;
  };
  return (
    <Dialog title="Keyboard shortcuts" onClose={close}>
      <dl class="keys">
        {[...shortcuts.value, ...TABLE_KEYS].map(({ keys, label }) => (
          <div key={keys}>
            <dt>
              <kbd>{keys}</kbd>
            </dt>
            <dd>{label}</dd>
          </div>
        ))}
      </dl>
      <div class="dialog-actions">
        <button type="button" onClick={close}>
          Close
        </button>
      </div>
    </Dialog>
  );
}
