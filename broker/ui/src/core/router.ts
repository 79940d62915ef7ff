// Where we are: every view is a URL, and this is the only file that touches the history.
import { computed, signal } from '@preact/signals';

export interface Place {
  path: string[];
  query: URLSearchParams;
}

function here(): Place {
  const path = location.pathname.split('/').filter(Boolean).map(decodeURIComponent);
  return { path, query: new URLSearchParams(location.search) };
}

export const place = signal<Place>(here());
export const page = computed(() => place.value.path[0] ?? 'overview');

addEventListener('popstate', () => (place.value = here()));

/** A path from its parts, each escaped; an empty value of the query is left out. */
export function url(path: string[], query: Record<string, string | number | undefined | null> = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== '') search.set(name, String(value));
  }
  const text = search.toString();
  return `/${path.map(encodeURIComponent).join('/')}${text ? `?${text}` : ''}`;
}

/** Goes somewhere else: a new entry in the history, the focus and the scroll at the top. */
export function go(to: string): void {
  const isOtherPage = new URL(to, location.href).pathname !== location.pathname;
  history.pushState(null, '', to);
  place.value = here();
  if (isOtherPage) {
    scrollTo(0, 0);
    requestAnimationFrame(() => document.querySelector<HTMLElement>('main h1')?.focus({ preventScroll: true }));
  }
}

/** Changes some of the query of this view; typing in a filter must not fill the history. */
export function refine(changes: Record<string, string | undefined | null>, keepsHistory = false): void {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value) query.set(name, value);
    else query.delete(name);
  }
  const text = query.toString();
  const to = `${location.pathname}${text ? `?${text}` : ''}`;
  if (to === location.pathname + location.search) return;
  if (keepsHistory) history.replaceState(null, '', to);
  else history.pushState(null, '', to);
  place.value = here();
}

/** A click that the browser should handle itself: a new tab, a download. */
export function isPlainClick(event: MouseEvent): boolean {
  return event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
}
