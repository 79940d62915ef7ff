// Something that the broker has, asked for by its path, kept fresh while it is looked at.
import { useEffect, useRef, useState } from 'preact/hooks';
import { callFull, isAbort } from './api';
import { link, paused, snapshot } from './live';

export interface Resource<T> {
  value: T | null;
  etag: string | null;
  error: unknown;
  isLoading: boolean;
  reload: () => void;
}

/** Reloads after an action: whatever is on the screen may have changed. */
const listeners = new Set<() => void>();
export function somethingChanged(): void {
  for (const listener of [...listeners]) listener();
}

/**
 * Asks for `path` (null: for nothing), again every `everyMs` while the page is live, and after each action. The last value
 * stays on the screen while the next is on its way.
 */
export function useResource<T>(path: string | null, shape: (answer: unknown) => T, everyMs = 0): Resource<T> {
  const [state, setState] = useState<{ path: string | null; value: T | null; etag: string | null; error: unknown }>({
    path: null,
    value: null,
    etag: null,
    error: null,
  });
  const asked = useRef(0);
  const inFlight = useRef<AbortController | null>(null);
  const load = useRef(() => {});
  load.current = () => {
    if (!path) return;
    inFlight.current?.abort();
    const abort = new AbortController();
    inFlight.current = abort;
    asked.current = Date.now();
    callFull<unknown>({ method: 'GET', path }, abort.signal).then(
      (answer) => setState({ path, value: shape(answer.value), etag: answer.etag, error: null }),
      (error) => {
        if (!isAbort(error)) setState((old) => ({ ...old, path, value: old.path === path ? old.value : null, error }));
      },
    );
  };
  useEffect(() => {
    load.current();
    const again = () => load.current();
    listeners.add(again);
    return () => {
      listeners.delete(again);
      inFlight.current?.abort();
    };
  }, [path]);
  useEffect(() => {
    if (!path || !everyMs) return undefined;
    // Snapshots are the clock: no snapshot, nobody looks or nobody answers. Where a call takes long, the next one waits for it.
    return snapshot.subscribe(() => {
      if (!paused.peek() && link.peek() !== 'offline' && Date.now() - asked.current >= everyMs - 100) load.current();
    });
  }, [path, everyMs]);
  const isCurrent = state.path === path;
  return {
    value: isCurrent || state.value !== null ? state.value : null,
    etag: isCurrent ? state.etag : null,
    error: isCurrent ? state.error : null,
    isLoading: !!path && !isCurrent,
    reload: () => load.current(),
  };
}
