// Jobs: searched by the filter language, counted by state, chosen by hand or by what matches.
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { get, Problem, sentence } from '../core/api';
import { join } from '../core/filter';
import { compact, count } from '../core/format';
import { pageKeys } from '../core/keys';
import { link, paused, snapshot } from '../core/live';
import { savedViews } from '../core/prefs';
import { useResource } from '../core/resource';
import { go, place, refine, url } from '../core/router';
import { counts as shapeCounts, job as shapeJob, pageOf } from '../core/shape';
import type { Job, Page, State as JobState } from '../core/answers';
import { STATES } from '../core/answers';
import { t } from '../en';
import { Head } from '../parts/Head';
import { Icon } from '../parts/Icon';
import { Link } from '../parts/Link';
import { Empty, Loading, say, Trouble } from '../parts/Notice';
import { SearchBox } from '../parts/SearchBox';
import { State } from '../parts/State';
import { FirstSteps } from './FirstSteps';
import { Columns, JobTable } from './JobTable';
import { changeChosen, changeMatching, type Verb, verbsFor } from './jobActions';

const PAGE = 50;

const jobPage = (answer: unknown) => pageOf(answer, shapeJob);

export function Jobs() {
  const query = place.value.query;
  const q = query.get('q') ?? '';
  const state = (query.get('state') ?? '') as JobState | '';
  const isOldestFirst = query.get('sort') === 'created_at';
  const filter = join(q, state && `state:${state}`);
  const path = url(['v1', 'jobs'], { q: filter, sort: isOldestFirst ? 'created_at' : '-created_at', limit: PAGE });
  const [chosen, setChosen] = useState<Set<string>>(new Set());
  // Without a filter, or by queue, the broker knows the numbers; otherwise it looks at every job.
  const isCheap = /^(queue:[^\s,*"]+)?$/.test(q.trim());
  const list = useJobList(path, !isOldestFirst, isCheap ? 3000 : 6000);
  const counts = useResource(url(['v1', 'jobs', 'counts'], { q }), (answer) => shapeCounts(answer as Record<string, unknown>), isCheap ? 4000 : 20_000);
  useLayoutEffect(() => setChosen(new Set()), [path]);

  const isFiltered = !!filter;
  const isEmptyBroker = snapshot.value?.server.jobs === 0 && !isFiltered;
  const clear = () => setChosen(new Set());
  const total = list.total;
  const bulk = (verb: Verb) => (chosen.size ? changeChosen(verb, [...chosen], clear) : changeMatching(verb, filter, clear));
  useLayoutEffect(() => {
    pageKeys.value = {
      R: () => (chosen.size ? bulk('retry') : undefined),
      C: () => (chosen.size ? bulk('cancel') : undefined),
      D: () => (chosen.size ? bulk('delete') : undefined),
    };
    return () => {
      pageKeys.value = {};
    };
  }, [chosen, filter]);

  return (
    <>
      <Head title={t.pages.jobs} line={t.jobs.line(total, list.isExact, isFiltered)}>
        <Views />
        <Columns />
      </Head>
      <SearchBox
        value={q}
        label={t.jobs.search}
        submit={(text) => refine({ q: text, cursor: null, focus: null })}
        hasFocus={query.get('focus') === '1'}
        isBad={list.error instanceof Problem && list.error.status === 400}
      />
      <Tabs state={state} counts={counts.value} />
      <div class="bulk">
        {chosen.size > 0 ? (
          <>
            <span class="bulk-count" role="status">
              {t.jobs.chosen(chosen.size)}
            </span>
            {verbsFor(state).map((verb) => (
              <button key={verb} type="button" class="button is-small" onClick={() => bulk(verb)}>
                {t.verbs[verb].button(count(chosen.size), chosen.size)}
              </button>
            ))}
            <button type="button" class="link-button" onClick={clear}>
              {t.jobs.chooseNone}
            </button>
          </>
        ) : isFiltered && total !== null && total > 0 ? (
          <>
            <span class="muted">{t.jobs.everything}</span>
            {verbsFor(state).map((verb) => (
              <button key={verb} type="button" class="button is-small" onClick={() => bulk(verb)}>
                {t.verbs[verb].button(`${list.isExact ? '' : '≥ '}${count(total)}`, total)}…
              </button>
            ))}
          </>
        ) : (
          <span class="muted">{list.page?.items.length ? t.jobs.bulkHint : ''}</span>
        )}
        <span class="grow" />
        <button type="button" class="link-button" onClick={() => refine({ sort: isOldestFirst ? null : 'created_at' })}>
          {isOldestFirst ? t.jobs.oldestFirst : t.jobs.newestFirst}
        </button>
      </div>
      {list.error !== null && <Trouble error={list.error} retry={list.reload} />}
      {isEmptyBroker ? (
        <FirstSteps hasWorker={(snapshot.value?.workers ?? 0) > 0} />
      ) : !list.page ? (
        list.error === null && <Loading />
      ) : !list.page.items.length && !list.news ? (
        <Empty title={t.jobs.none}>
          {isFiltered ? t.jobs.noneText : t.jobs.noneAtAll}{' '}
          {isFiltered && (
            <Link to="/jobs" class="link-button">
              {t.jobs.showAll}
            </Link>
          )}
        </Empty>
      ) : (
        <section class={`panel ${list.isStale ? 'is-stale' : ''}`} inert={list.isStale} aria-busy={list.isStale}>
          {list.news > 0 && (
            <button type="button" class="news" onClick={list.showNews} aria-live="polite">
              <Icon name="up" size={14} /> {t.jobs.news(list.news, list.news >= PAGE)}
            </button>
          )}
          <JobTable jobs={list.page.items} gone={list.gone} chosen={chosen} setChosen={setChosen} />
          {list.page.next_cursor && (
            <button type="button" class="load-more" disabled={list.isLoadingMore} onClick={list.loadMore}>
              {t.jobs.loadMore}
            </button>
          )}
        </section>
      )}
    </>
  );
}

/** A list that does not move under the pointer: what is new waits behind a button, what is shown is kept up to date. */
function useJobList(path: string, isLive: boolean, everyMs: number) {
  const [page, setPage] = useState<Page<Job> | null>(null);
  const [shownFor, setShownFor] = useState('');
  const [waiting, setWaiting] = useState<Page<Job> | null>(null);
  const [gone, setGone] = useState<Set<string>>(new Set());
  const [error, setError] = useState<unknown>(null);
  const [isLoadingMore, setLoadingMore] = useState(false);
  const askedAt = useRef(0);
  const current = useRef(path);
  current.current = path;
  const first = useResource(path, jobPage);
  // A page that just came is shown, unless it is the same view again: then only its news are counted.
  const show = (next: Page<Job>) => {
    setPage(next);
    setWaiting(null);
    setGone(new Set());
    setShownFor(path);
  };
  useEffect(() => {
    setError(first.error);
    if (first.value && !first.isLoading && first.error === null) show(first.value);
  }, [first.value, first.error, first.isLoading]);

  useEffect(() => {
    if (!isLive) return undefined;
    return snapshot.subscribe(() => {
      if (paused.peek() || link.peek() === 'offline' || Date.now() - askedAt.current < everyMs) return;
      if (shownFor !== path || !page) return;
      askedAt.current = Date.now();
      get(path).then(
        (answer) => {
          if (current.current !== path) return;
          const next = jobPage(answer);
          const byId = new Map(next.items.map((job) => [job.id, job]));
          const known = new Set(page.items.map((job) => job.id));
          const news = next.items.filter((job) => !known.has(job.id)).length;
          const oldest = next.items.at(-1);
          const isWhole = next.next_cursor === null;
          const isGone = (job: Job) => !byId.has(job.id) && (isWhole || (!!oldest && BigInt(job.seq || 0) > BigInt(oldest.seq || 0)));
          setGone(new Set(page.items.filter(isGone).map((job) => job.id)));
          setPage((old) => old && { ...old, total: next.total, total_exact: next.total_exact, items: old.items.map((job) => byId.get(job.id) ?? job) });
          setWaiting(news ? next : null);
          setError(null);
        },
        () => {
          /* the stream says that the broker is away */
        },
      );
    });
  }, [path, isLive, everyMs, page?.items.length, shownFor]);

  const known = new Set(page?.items.map((job) => job.id));
  return {
    // While the next view is on its way, the last one stays, but it is not to be acted on.
    page: shownFor === path || first.isLoading ? page : null,
    isStale: shownFor !== path,
    total: shownFor === path ? (page?.total ?? null) : null,
    isExact: page?.total_exact ?? true,
    error,
    gone,
    isLoadingMore,
    news: waiting ? waiting.items.filter((job) => !known.has(job.id)).length : 0,
    showNews: () => waiting && show(waiting),
    reload: first.reload,
    loadMore: () => {
      if (!page?.next_cursor || isLoadingMore) return;
      setLoadingMore(true);
      get(`${path}&cursor=${encodeURIComponent(page.next_cursor)}`).then(
        (answer) => {
          const next = jobPage(answer);
          setLoadingMore(false);
          if (current.current === path) setPage({ ...page, items: [...page.items, ...next.items.filter((job) => !known.has(job.id))], next_cursor: next.next_cursor });
        },
        (problem) => {
          setLoadingMore(false);
          say(sentence(problem), true);
        },
      );
    },
  };
}

function Tabs({ state, counts }: { state: JobState | ''; counts: Record<JobState, number> | null }) {
  const total = counts ? STATES.reduce((sum, one) => sum + counts[one], 0) : null;
  const query = place.value.query;
  const to = (next: string) => url(['jobs'], { q: query.get('q'), state: next, sort: query.get('sort') });
  return (
    <nav class="tabs" aria-label={t.jobs.states}>
      <ul>
        <li>
          <Link to={to('')} current={state === '' ? 'true' : undefined}>
            {t.jobs.all} <span class="num">{total === null ? '' : compact(total)}</span>
          </Link>
        </li>
        {STATES.map((one) => (
          <li key={one}>
            <Link to={to(one)} current={state === one ? 'true' : undefined} class={counts && !counts[one] ? 'is-zero' : ''}>
              <State state={one} /> <span class="num">{counts?.[one] ? compact(counts[one]) : ''}</span>
            </Link>
          </li>
        ))}
      </ul>
    </nav>
  );
}

/** Searches that this browser remembers by a name. */
function Views() {
  const search = location.search;
  const views = savedViews.value;
  const known = views.find((view) => view.search === search);
  const save = () => {
    const query = new URLSearchParams(search);
    const name = join(query.get('q'), query.get('state') && `state:${query.get('state')}`);
    if (name) savedViews.value = [...views, { name, search }].slice(-20);
  };
  if (!views.length && !search) return null;
  return (
    <details class="menu">
      <summary class="button">{t.jobs.views}</summary>
      <div class="menu-list">
        {views.map((view) => (
          <div key={view.search} class="menu-row">
            <a
              href={`/jobs${view.search}`}
              onClick={(event: MouseEvent) => {
                event.preventDefault();
                (event.currentTarget as HTMLElement).closest('details')?.removeAttribute('open');
                go(`/jobs${view.search}`);
              }}
            >
              {view.name}
            </a>
            <button type="button" class="copy" aria-label={t.jobs.forget(view.name)} onClick={() => (savedViews.value = views.filter((other) => other !== view))}>
              <Icon name="close" size={14} />
            </button>
          </div>
        ))}
        {!known && search && (
          <button type="button" class="link-button" onClick={save}>
            {t.jobs.saveView}
          </button>
        )}
        {!views.length && !search && <p class="muted">{t.jobs.noViews}</p>}
      </div>
    </details>
  );
}
