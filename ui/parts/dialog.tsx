// ui, parts: dialogs, and the question before something that cannot be taken back. The browser's own <dialog> keeps the
// focus inside, closes on Escape and gives the focus back.

import { signal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef } from 'preact/hooks';

export interface DialogProps {
  readonly title: string;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
}

/** Open as long as it is rendered. */
export function Dialog({ title, onClose, children }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  useEffect(() => {
    const dialog = element.current;
    if (dialog?.open === false) dialog.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog ref={element} aria-labelledby={titleId} onClose={onClose}>
      <h2 id={titleId}>{title}</h2>
      {children}
    </dialog>
  );
}

export interface Question {
  readonly title: string;
  readonly text: ComponentChildren;
  /** The word on the button, a verb. */
  readonly action: string;
  readonly isDangerous?: boolean;
}

interface Asked extends Question {
  readonly answer: (isYes: boolean) => void;
}

const asked = signal<Asked | null>(null);

/** Asks the user. Resolves with false if the dialog is closed in any other way than by its action. */
export function confirm(question: Question): Promise<boolean> {
  asked.peek()?.answer(false);
  return new Promise((resolve) => {
    const answer = (isYes: boolean) => {
      asked.value = null;
      resolve(isYes);
    };
    asked.value = { ...question, answer };
  });
}

/** The place of the question; the shell has one. */
export function Confirmation() {
  const question = asked.value;
  if (question === null) return null;
  const { title, text, action, isDangerous = false, answer } = question;
  return (
    <Dialog title={title} onClose={() => answer(false)}>
      <div class="dialog-text">{text}</div>
      <div class="dialog-actions">
        {/* The first one has the focus: Enter must not do what cannot be taken back. */}
        <button type="button" onClick={() => answer(false)}>
          Cancel
        </button>
        <button
          type="button"
          class={isDangerous ? 'danger' : 'primary'}
          onClick={() => answer(true)}
        >
          {action}
        </button>
      </div>
    </Dialog>
  );
}
