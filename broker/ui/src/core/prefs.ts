// What this browser remembers: theme, clock, shortcuts, columns, saved views. Nothing here is a secret.
import { effect, signal } from '@preact/signals';

export type Theme = 'auto' | 'light' | 'dark';

/** A value kept in this browser; where storage is denied it lives as long as the tab. */
function kept<T>(name: string, initial: T) {
  let start = initial;
  try {
    const text = localStorage.getItem(`windlass.${name}`);
    if (text !== null) start = JSON.parse(text) as T;
  } catch {
    start = initial;
  }
  const value = signal<T>(start);
  effect(() => {
    const text = JSON.stringify(value.value);
    try {
      localStorage.setItem(`windlass.${name}`, text);
    } catch {
      /* storage is full or denied: the value lives as long as the tab */
    }
  });
  return value;
}

export interface SavedView {
  name: string;
  search: string;
}

export const theme = kept<Theme>('theme', 'auto');
export const clock = kept<'local' | 'utc'>('clock', 'local');
export const shortcuts = kept<boolean>('shortcuts', true);
export const columns = kept<string[]>('columns', ['kind', 'queue', 'attempt', 'when']);
export const savedViews = kept<SavedView[]>('views', []);
export const namespace = kept<string>('namespace', 'default');
/** Rises when colours have changed, so that canvases are drawn anew. */
export const painted = signal(0);

effect(() => {
  const chosen = theme.value;
  if (chosen === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  painted.value = painted.peek() + 1;
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => (painted.value += 1));

export function nextTheme(): void {
  theme.value = theme.value === 'auto' ? 'light' : theme.value === 'light' ? 'dark' : 'auto';
}
