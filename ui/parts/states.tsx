// ui, parts: what a page shows instead of its content: it is loading, there is nothing, or it cannot be had.

import type { ComponentChildren } from 'preact';
import { ApiError } from '../../src/client/errors.ts';

export function Loading({ what }: { readonly what: string }) {
  return (
    <p class="state" role="status">
      <span class="spinner" aria-hidden="true" /> Loading {what}…
    </p>
  );
}

export interface EmptyProps {
  readonly title: string;
  readonly children?: ComponentChildren;
}

export function Empty({ title, children }: EmptyProps) {
  return (
    <div class="state">
      <p class="state-title">{title}</p>
      {children}
    </div>
  );
}

export interface FailureProps {
  readonly what: string;
  readonly error: Error;
  readonly onRetry?: () => void;
}

export function Failure({ what, error, onRetry }: FailureProps) {
  const isApi = error instanceof ApiError;
  return (
    <div class="state" role="alert">
      <p class="state-title">{what} cannot be shown</p>
      <p>{error.message}</p>
      {isApi && (
        <p class="dim">
          {error.code}
          {error.requestId === undefined ? '' : `, request ${error.requestId}`}
        </p>
      )}
      {onRetry !== undefined && (
        <button type="button" onClick={onRetry}>
          Try again
        </button>
      )}
    </div>
  );
}
