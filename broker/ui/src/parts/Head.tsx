// The top of a page: its name, a line about it, what can be done; and panels and facts as all pages draw them.
import type { ComponentChildren } from 'preact';
import { useEffect } from 'preact/hooks';
import { t } from '../en';

export function Head({ title, above, line, children }: { title: string; above?: ComponentChildren; line?: ComponentChildren; children?: ComponentChildren }) {
  useEffect(() => {
    document.title = `${title} · Windlass`;
  }, [title]);
  return (
    <header class="head">
      <div class="head-words">
        {above && <p class="head-above">{above}</p>}
        <h1 tabIndex={-1}>{title}</h1>
        {line && <p class="head-line">{line}</p>}
      </div>
      {children && <div class="head-actions">{children}</div>}
    </header>
  );
}

export function Panel({ title, scope, actions, children, id }: { title: string; scope?: ComponentChildren; actions?: ComponentChildren; children: ComponentChildren; id?: string }) {
  return (
    <section class="panel" id={id}>
      <header class="panel-head">
        <h2>{title}</h2>
        {scope && <span class="scope">{scope}</span>}
        {actions}
      </header>
      {children}
    </section>
  );
}

/** A table that scrolls sideways by itself where the screen is narrow. */
export function Table({ label, children, rows }: { label: string; children: ComponentChildren; rows?: boolean }) {
  return (
    <div class="table" tabIndex={0} role="region" aria-label={label} data-rows={rows ? '' : undefined}>
      <table>{children}</table>
    </div>
  );
}

export function Tile({ label, value, scope, children, isBad }: { label: string; value: ComponentChildren; scope: ComponentChildren; children?: ComponentChildren; isBad?: boolean }) {
  return (
    <div class="tile">
      <dt>{label}</dt>
      <dd>
        <span class={`tile-value ${isBad ? 'is-bad' : ''}`}>{value}</span>
        <span class="tile-scope">{scope}</span>
        {children && <span class="tile-more">{children}</span>}
      </dd>
    </div>
  );
}

export function Facts({ rows }: { rows: [string, ComponentChildren][] }) {
  return (
    <dl class="facts">
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value ?? <span class="faint">–</span>}</dd>
        </div>
      ))}
    </dl>
  );
}

const SPANS: Record<string, [number, number]> = {
  '15m': [900_000, 10_000],
  '1h': [3_600_000, 60_000],
  '24h': [86_400_000, 900_000],
  '7d': [604_800_000, 3_600_000],
  '30d': [2_592_000_000, 14_400_000],
};

/** A span of the address as a window and a step in milliseconds. */
export function spanOf(name: string | null): { name: string; window: number; step: number } {
  const known = name && SPANS[name] ? name : '1h';
  return { name: known, window: SPANS[known]![0], step: SPANS[known]![1] };
}

export function Spans({ value, choose, names = Object.keys(SPANS) }: { value: string; choose: (name: string) => void; names?: string[] }) {
  return (
    <div class="segments" role="group" aria-label={t.range}>
      {names.map((name) => (
        <button key={name} type="button" aria-pressed={name === value} onClick={() => choose(name)}>
          {name}
        </button>
      ))}
    </div>
  );
}
