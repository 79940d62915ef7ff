// A link inside the dashboard: a real address, followed without loading the page anew.
import type { ComponentChildren } from 'preact';
import { go, isPlainClick } from '../core/router';

interface Props {
  to: string;
  class?: string;
  current?: 'page' | 'true' | undefined;
  label?: string;
  opens?: boolean;
  title?: string;
  children?: ComponentChildren;
}

export function Link({ to, class: className, current, label, opens, title, children }: Props) {
  return (
    <a
      href={to}
      class={className}
      aria-current={current}
      aria-label={label}
      title={title}
      data-open={opens ? '' : undefined}
      onClick={(event: MouseEvent) => {
        if (!isPlainClick(event)) return;
        event.preventDefault();
        go(to);
      }}
    >
      {children}
    </a>
  );
}
