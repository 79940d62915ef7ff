// A page that is loaded when it is first opened, so that the first transfer is small.
import { signal } from '@preact/signals';
import type { ComponentType } from 'preact';
import { useEffect } from 'preact/hooks';
import { Loading, Trouble } from './Notice';

export function later(load: () => Promise<ComponentType>): ComponentType {
  const page = signal<ComponentType | null>(null);
  const error = signal<unknown>(null);
  const ask = () => {
    error.value = null;
    load().then(
      (loaded) => (page.value = loaded),
      (reason: unknown) => (error.value = reason),
    );
  };
  return function Later() {
    useEffect(() => {
      if (!page.peek()) ask();
    }, []);
    const Page = page.value;
    if (Page) return <Page />;
    return error.value ? <Trouble error={error.value} retry={ask} /> : <Loading />;
  };
}
