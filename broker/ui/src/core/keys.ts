// Shortcuts: single keys, off while a field has the focus, and switched off altogether in the settings.
import { signal } from '@preact/signals';
import { nextTheme, shortcuts } from './prefs';
import { paused } from './live';
import { go } from './router';

export const helpOpen = signal(false);

const PLACES: Record<string, string> = { o: '/', q: '/queues', j: '/jobs', e: '/errors', w: '/workers', s: '/schedules', ',': '/settings' };

/** What the page at hand does with keys: `r` rows, actions. */
export const pageKeys = signal<Record<string, () => void>>({});

let isGoing = false;
let timer = 0;

function isTyping(target: EventTarget | null): boolean {
  const element = target as HTMLElement | null;
  return !!element?.closest('input, textarea, select, [contenteditable]');
}

/** Moves the focus over the rows of the table that has `data-rows`. */
function move(by: number): void {
  const rows = [...document.querySelectorAll<HTMLElement>('[data-rows] [data-row]')];
  if (!rows.length) return;
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const next = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + by))];
  const focusable = next?.querySelector<HTMLElement>('[data-open]') ?? next;
  focusable?.focus();
  next?.scrollIntoView({ block: 'nearest' });
}

function press(event: KeyboardEvent): void {
  if (!shortcuts.value || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  if (document.querySelector('dialog[open]')) return;
  const key = event.key;
  if (isGoing) {
    isGoing = false;
    const to = PLACES[key];
    if (to) {
      event.preventDefault();
      go(to);
    }
    return;
  }
  const own = pageKeys.value[key];
  const does: (() => void) | undefined =
    own ??
    {
      g: () => {
        isGoing = true;
        clearTimeout(timer);
        timer = window.setTimeout(() => (isGoing = false), 1500);
      },
      '/': () => {
        const box = document.querySelector<HTMLInputElement>('[data-search]');
        if (box) box.focus();
        else go('/jobs?focus=1');
      },
      j: () => move(1),
      k: () => move(-1),
      x: () => document.activeElement?.closest('[data-row]')?.querySelector<HTMLInputElement>('input[type=checkbox]')?.click(),
      r: () => (paused.value = !paused.value),
      t: nextTheme,
      '?': () => (helpOpen.value = true),
    }[key];
  if (does) {
    event.preventDefault();
    does();
  }
}

export function startKeys(): void {
  addEventListener('keydown', press);
}
