// The frame around every page: where one can go, whether what one sees is live, and the theme.
import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { compact } from '../core/format';
import { helpOpen } from '../core/keys';
import { link, paused, snapshot, trouble } from '../core/live';
import { namespace, nextTheme, theme } from '../core/prefs';
import { page, place } from '../core/router';
import { t } from '../en';
import { Icon, type IconName } from './Icon';
import { Link } from './Link';

const PAGES: { name: keyof typeof t.pages; to: string; icon: IconName }[] = [
  { name: 'overview', to: '/', icon: 'overview' },
  { name: 'queues', to: '/queues', icon: 'queues' },
  { name: 'jobs', to: '/jobs', icon: 'jobs' },
  { name: 'errors', to: '/errors', icon: 'errors' },
  { name: 'workers', to: '/workers', icon: 'workers' },
  { name: 'schedules', to: '/schedules', icon: 'schedules' },
  { name: 'settings', to: '/settings', icon: 'settings' },
];

export function Shell({ children }: { children: ComponentChildren }) {
  const [isOpen, setOpen] = useState(false);
  useEffect(() => setOpen(false), [place.value]);
  const totals = snapshot.value?.totals;
  const badge: Partial<Record<string, [number, string]>> = totals
    ? { errors: [totals.dead, t.nav.dead(totals.dead)], workers: [snapshot.value?.workers ?? 0, t.nav.workers(snapshot.value?.workers ?? 0)] }
    : {};
  return (
    <div class="shell">
      <a class="skip" href="#main" onClick={(event: MouseEvent) => { event.preventDefault(); document.querySelector<HTMLElement>('#main')?.focus(); }}>
        {t.skip}
      </a>
      <header class="side">
        <div class="brand-row">
          <Link to="/" class="brand" label={t.brandHome}>
            <svg viewBox="0 0 32 32" width="24" height="24" aria-hidden="true">
              <rect width="32" height="32" rx="8" class="brand-tile" />
              <g class="brand-wheel">
                <circle cx="16" cy="16" r="6" />
                <path d="M16 4.5v5.5M16 22v5.5M4.5 16H10M22 16h5.5" />
              </g>
            </svg>
            <span>Windlass</span>
          </Link>
          <button type="button" class="menu-button" aria-expanded={isOpen} aria-controls="nav" aria-label={t.nav.menu} onClick={() => setOpen(!isOpen)}>
            <Icon name={isOpen ? 'close' : 'menu'} />
          </button>
        </div>
        <div class={`side-body ${isOpen ? 'is-open' : ''}`} id="nav">
          <nav aria-label={t.nav.label}>
            <ul>
              {PAGES.map(({ name, to, icon }) => (
                <li key={name}>
                  <Link to={to} current={page.value === name ? 'page' : undefined}>
                    <Icon name={icon} />
                    <span>{t.pages[name]}</span>
                    {!!badge[name]?.[0] && (
                      <>
                        <span class={`badge ${name === 'errors' ? 'is-bad' : ''}`} title={badge[name]![1]} aria-hidden="true">
                          {compact(badge[name]![0])}
                        </span>
                        <span class="visually-hidden">{badge[name]![1]}</span>
                      </>
                    )}
                  </Link>
                </li>
              ))}
            </ul>
          </nav>
          <div class="side-foot">
            <LiveButton />
            <button type="button" class="foot-button" onClick={nextTheme}>
              <Icon name={theme.value === 'auto' ? 'auto' : theme.value === 'light' ? 'sun' : 'moon'} />
              <span>{t.theme[theme.value]}</span>
            </button>
            <button type="button" class="foot-button" onClick={() => (helpOpen.value = true)}>
              <kbd>?</kbd>
              <span>{t.keys.open}</span>
            </button>
            {snapshot.value && (
              <p class="version">
                {namespace.value !== 'default' && <>{namespace.value} · </>}v{snapshot.value.server.version}
              </p>
            )}
          </div>
        </div>
      </header>
      <main id="main" tabIndex={-1}>
        {trouble.value && link.value !== 'live' && (
          <p class="away" role="alert">
            <Icon name="warn" /> {t.away}
          </p>
        )}
        {children}
      </main>
    </div>
  );
}

function LiveButton() {
  const state = paused.value ? 'paused' : link.value === 'paused' ? 'connecting' : link.value;
  return (
    <button type="button" class="foot-button" aria-pressed={paused.value} onClick={() => (paused.value = !paused.value)} title={paused.value ? t.live.resume : t.live.pause}>
      <span class={`pulse is-${state}`} aria-hidden="true" />
      <span>{t.live[state]}</span>
    </button>
  );
}
