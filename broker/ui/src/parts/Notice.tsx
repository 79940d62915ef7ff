// What is said in place: a problem with its way out, an empty list with what to do next, a short word after an action.
import { signal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { Problem, sentence } from '../core/api';
import { t } from '../en';
import { Icon } from './Icon';

export function Trouble({ error, retry }: { error: unknown; retry?: () => void }) {
  if (!error) return null;
  const title = error instanceof Problem ? error.title : t.problem.title;
  return (
    <div class="trouble" role="alert">
      <Icon name="warn" />
      <div>
        <strong>{title}</strong>
        <p>{sentence(error)}</p>
        {error instanceof Problem && t.problem.next[error.code as keyof typeof t.problem.next] && (
          <p class="muted">{t.problem.next[error.code as keyof typeof t.problem.next]}</p>
        )}
      </div>
      {retry && (
        <button type="button" class="button is-small" onClick={retry}>
          {t.tryAgain}
        </button>
      )}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {children && <div class="empty-text">{children}</div>}
    </div>
  );
}

export function Loading() {
  return (
    <div class="loading" role="status">
      <span class="visually-hidden">{t.loading}</span>
    </div>
  );
}

interface Said {
  id: number;
  text: string;
  isBad: boolean;
}

const said = signal<Said[]>([]);
let last = 0;

/** A short word after an action; it goes by itself. */
export function say(text: string, isBad = false): void {
  last += 1;
  const one = { id: last, text, isBad };
  said.value = [...said.value.slice(-3), one];
  setTimeout(() => (said.value = said.value.filter((other) => other.id !== one.id)), isBad ? 10_000 : 5000);
}

export function Notices() {
  return (
    <div class="notices" role="status" aria-live="polite">
      {said.value.map((one) => (
        <div key={one.id} class={`notice ${one.isBad ? 'is-bad' : ''}`}>
          <Icon name={one.isBad ? 'warn' : 'check'} />
          <span>{one.text}</span>
          <button type="button" class="copy" aria-label={t.close} onClick={() => (said.value = said.value.filter((other) => other.id !== one.id))}>
            <Icon name="close" size={14} />
          </button>
        </div>
      ))}
    </div>
  );
}
