// Jobs that are enqueued again and again: in plain words, with their next runs.
import { useEffect, useState } from 'preact/hooks';
import { get, parseExact, sentence } from '../core/api';
import { inWords } from '../core/cron';
import { absolute, compact, parseSpan, typedSpan } from '../core/format';
import { useResource } from '../core/resource';
import { go, place, url } from '../core/router';
import { given, items, job as shapeJob, pageOf, schedule as shape } from '../core/shape';
import { term } from '../core/filter';
import type { Schedule } from '../core/answers';
import { t } from '../en';
import { act, ask, type Values } from '../parts/Action';
import { Command } from '../parts/Copy';
import { Facts, Head, Panel, Table, Tile } from '../parts/Head';
import { Icon } from '../parts/Icon';
import { Link } from '../parts/Link';
import { Empty, Loading, Trouble } from '../parts/Notice';
import { Time } from '../parts/Time';
import { ValueBox } from '../parts/Tree';
import { JobTable } from './JobTable';

interface Next {
  description: string;
  next: string[];
}

const path = (name: string, verb?: string) => url(['v1', 'schedules', name, ...(verb ? [verb] : [])]);
const words = (schedule: Schedule) => inWords(schedule.cron, schedule.every_ms) ?? schedule.cron;

export function Schedules() {
  const name = place.value.path[1];
  const told = useResource('/v1/schedules', (answer) => items(answer, shape), 5000);
  if (name !== undefined) return <One name={name} schedule={told.value?.find((one) => one.name === name)} isKnown={told.value !== null} />;
  const all = [...(told.value ?? [])].sort((a, b) => a.name.localeCompare(b.name));
  return (
    <>
      <Head title={t.pages.schedules} line={told.value ? t.schedules.line(all.length, all.filter((one) => one.paused).length) : undefined}>
        <button type="button" class="button is-primary" onClick={() => edit()}>
          {t.schedules.add}…
        </button>
      </Head>
      {told.error !== null && <Trouble error={told.error} retry={told.reload} />}
      {!told.value ? (
        told.error === null && <Loading />
      ) : !all.length ? (
        <Empty title={t.schedules.none}>
          <p>{t.schedules.noneText}</p>
          <Command text={t.schedules.example} />
        </Empty>
      ) : (
        <section class="panel">
          <Table label={t.pages.schedules} rows>
            <thead>
              <tr>
                <th scope="col">{t.schedules.columns.name}</th>
                <th scope="col">{t.schedules.columns.when}</th>
                <th scope="col">{t.schedules.columns.next}</th>
                <th scope="col">{t.schedules.columns.last}</th>
                <th scope="col" class="num">
                  {t.schedules.columns.runs}
                </th>
                <th scope="col" class="num">
                  {t.schedules.columns.skipped}
                </th>
                <th scope="col">
                  <span class="visually-hidden">{t.actions}</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {all.map((one) => (
                <tr key={one.name} data-row="">
                  <th scope="row">
                    <Link to={url(['schedules', one.name])} class="row-link" opens>
                      {one.name}
                    </Link>
                    <span class="sub">
                      {one.kind}
                      {one.paused && (
                        <span class="tag is-warn">
                          <Icon name="pause" size={12} /> {t.queues.paused}
                        </span>
                      )}
                      {one.failures > 0 && <span class="tag is-bad">{t.schedules.failures(one.failures)}</span>}
                    </span>
                  </th>
                  <td>
                    {words(one)}
                    <span class="sub">
                      {one.cron && <code>{one.cron}</code>} {one.cron && one.tz}
                    </span>
                  </td>
                  <td>{one.paused ? <span class="faint">–</span> : <Time at={one.next} />}</td>
                  <td>
                    {one.last_job ? (
                      <Link to={url(['jobs', one.last_job])} class="quiet">
                        <Time at={one.last} none={t.never} />
                      </Link>
                    ) : (
                      <Time at={one.last} none={t.never} />
                    )}
                  </td>
                  <td class="num">{compact(one.runs)}</td>
                  <td class="num">{one.skipped ? compact(one.skipped) : <span class="faint">–</span>}</td>
                  <td class="row-actions">
                    <button type="button" class="button is-small" aria-label={t.queues.actOn(t.schedules.run, one.name)} onClick={() => run(one.name)}>
                      {t.schedules.run}
                    </button>
                    <button type="button" class="button is-small" aria-label={t.queues.actOn(one.paused ? t.queues.resume : t.queues.pause, one.name)} onClick={() => pauseOrResume(one)}>
                      {one.paused ? t.queues.resume : t.queues.pause}
                    </button>
                  </td>
                </tr>
              ))}
            </tbody>
          </Table>
        </section>
      )}
    </>
  );
}

function run(name: string): void {
  ask({
    title: t.schedules.runTitle(name),
    text: t.schedules.runText,
    button: t.schedules.run,
    calls: () => [{ method: 'POST', path: path(name, 'run'), body: {} }],
    done: () => t.schedules.ran(name),
  });
}

function pauseOrResume(one: Schedule): void {
  const verb = one.paused ? 'resume' : 'pause';
  void act({ method: 'POST', path: path(one.name, verb), body: {} }, one.paused ? t.schedules.resumed(one.name) : t.schedules.pausedNow(one.name));
}

function remove(name: string): void {
  ask({
    title: t.schedules.removeTitle(name),
    text: t.schedules.removeText,
    button: t.remove,
    isDangerous: true,
    calls: () => [{ method: 'DELETE', path: path(name) }],
    done: () => {
      go('/schedules');
      return t.schedules.removed(name);
    },
  });
}

/** The form of a schedule, with its next runs drawn as it is written. */
function edit(from?: Schedule): void {
  ask({
    title: from ? t.schedules.editTitle(from.name) : t.schedules.addTitle,
    button: t.save,
    fields: [
      ...(from ? [] : [{ name: 'name', label: t.schedules.columns.name, kind: 'text' as const, isRequired: true }]),
      { name: 'cron', label: t.schedules.cron, kind: 'text', initial: from?.cron ?? (from ? '' : '30 2 * * *'), hint: t.schedules.cronHint },
      { name: 'every', label: t.schedules.every, kind: 'text', initial: from?.every_ms ? typedSpan(from.every_ms) : '', hint: t.schedules.everyHint },
      { name: 'tz', label: t.schedules.zone, kind: 'text', initial: from?.tz ?? 'UTC', hint: t.schedules.zoneHint },
      { name: 'kind', label: t.fields.kind, kind: 'text', initial: from?.kind ?? '', isRequired: true },
      { name: 'queue', label: t.fields.queue, kind: 'text', initial: from?.queue ?? 'default' },
      { name: 'payload', label: t.fields.payload, kind: 'area', initial: JSON.stringify(from?.payload ?? {}, null, 2) },
      {
        name: 'overlap',
        label: t.schedules.overlap,
        kind: 'choice',
        initial: from && from.overlap in t.schedules.overlaps ? from.overlap : 'skip',
        choices: Object.entries(t.schedules.overlaps).map(([value, label]) => ({ value, label })),
      },
    ],
    preview: (values) => (values.cron && !values.every ? <NextRuns cron={values.cron} zone={values.tz || 'UTC'} /> : null),
    calls: (values) => [{ method: 'PUT', path: path(from?.name ?? values.name ?? ''), body: bodyOf(values, from) }],
    done: (_answers, values) => t.schedules.saved(from?.name ?? values.name ?? ''),
  });
}

/** What the form does not show stays as it is. */
function bodyOf(values: Values, from?: Schedule): Record<string, unknown> {
  let payload: unknown = values.payload;
  try {
    payload = parseExact(values.payload ?? '');
  } catch {
    /* a text is a payload, too */
  }
  const { cron: _cron, tz: _tz, every_ms: _every, ...rest } = from?.set ?? {};
  const job = { ...given((rest.job ?? {}) as Record<string, unknown>), kind: values.kind, queue: values.queue || 'default', payload };
  const body: Record<string, unknown> = { ...rest, job, overlap: values.overlap };
  if (values.every?.trim()) body.every_ms = parseSpan(values.every) ?? values.every;
  else Object.assign(body, { cron: values.cron, tz: values.tz || 'UTC' });
  return body;
}

function NextRuns({ cron, zone }: { cron: string; zone: string }) {
  const [told, setTold] = useState<{ value: Next | null; error: string }>({ value: null, error: '' });
  useEffect(() => {
    let isStale = false;
    const timer = setTimeout(() => {
      get<Next>(url(['v1', 'schedules', 'next'], { cron, zone, n: 5 })).then(
        (value) => !isStale && setTold({ value, error: '' }),
        (error) => !isStale && setTold({ value: null, error: sentence(error) }),
      );
    }, 250);
    return () => {
      isStale = true;
      clearTimeout(timer);
    };
  }, [cron, zone]);
  if (told.error) return <p class="next-runs is-bad">{told.error}</p>;
  if (!told.value) return null;
  return (
    <div class="next-runs">
      <p>{told.value.description || inWords(cron, 0) || cron}</p>
      <ol>
        {told.value.next.map((at) => (
          <li key={at}>
            {absolute(Date.parse(at))} <span class="muted"><Time at={at} /></span>
          </li>
        ))}
      </ol>
    </div>
  );
}

function One({ name, schedule, isKnown }: { name: string; schedule: Schedule | undefined; isKnown: boolean }) {
  const jobs = useResource(url(['v1', 'jobs'], { q: term('schedule', name), limit: 20, sort: '-created_at' }), (answer) => pageOf(answer, shapeJob), 5000);
  const above = <Link to="/schedules">{t.pages.schedules}</Link>;
  if (!schedule) {
    return (
      <>
        <Head title={name} above={above} />
        {isKnown ? <Empty title={t.schedules.gone}>{t.schedules.goneText}</Empty> : <Loading />}
      </>
    );
  }
  return (
    <>
      <Head title={name} above={above} line={`${words(schedule)}${schedule.cron ? ` · ${schedule.tz}` : ''}`}>
        <button type="button" class="button is-primary" onClick={() => run(name)}>
          {t.schedules.run}…
        </button>
        <button type="button" class="button" onClick={() => pauseOrResume(schedule)}>
          {schedule.paused ? t.queues.resume : t.queues.pause}
        </button>
        <button type="button" class="button" onClick={() => edit(schedule)}>
          {t.edit}…
        </button>
        <button type="button" class="button is-quiet-danger" onClick={() => remove(name)}>
          {t.remove}…
        </button>
      </Head>
      {schedule.paused && (
        <p class="banner">
          <Icon name="pause" /> <span>{t.schedules.isPaused}</span>
        </p>
      )}
      <dl class="tiles">
        <Tile label={t.schedules.columns.next} value={schedule.paused ? '–' : <Time at={schedule.next} />} scope={schedule.next && !schedule.paused ? absolute(Date.parse(schedule.next)) : ''} />
        <Tile label={t.schedules.columns.last} value={<Time at={schedule.last} none={t.never} />} scope={schedule.last ? absolute(Date.parse(schedule.last)) : ''} />
        <Tile label={t.schedules.columns.runs} value={compact(schedule.runs)} scope={t.schedules.ever} />
        <Tile label={t.schedules.columns.skipped} value={compact(schedule.skipped)} scope={t.schedules.ever} />
      </dl>
      <div class="columns">
        <Panel title={t.job.details}>
          <Facts
            rows={[
              [t.fields.kind, schedule.kind],
              [t.fields.queue, <Link to={url(['queues', schedule.queue])}>{schedule.queue}</Link>],
              [t.schedules.cron, schedule.cron ? <code>{schedule.cron}</code> : null],
              [t.schedules.overlap, t.schedules.overlaps[schedule.overlap as keyof typeof t.schedules.overlaps] ?? schedule.overlap],
              [t.schedules.catchUp, t.schedules.catchUps[schedule.catch_up as keyof typeof t.schedules.catchUps] ?? schedule.catch_up],
            ]}
          />
        </Panel>
        {schedule.cron && !schedule.paused && (
          <Panel title={t.schedules.nextRuns} scope={schedule.tz}>
            <div class="panel-text">
              <NextRuns cron={schedule.cron} zone={schedule.tz} />
            </div>
          </Panel>
        )}
      </div>
      {schedule.payload !== null && <ValueBox title={t.job.payload} value={schedule.payload} />}
      <Panel title={t.schedules.lastRuns} scope={jobs.value ? t.errors.jobsScope(jobs.value.items.length, jobs.value.total) : ''}>
        {jobs.value?.items.length ? <JobTable jobs={jobs.value.items} /> : <Empty title={t.schedules.noRuns} />}
      </Panel>
    </>
  );
}
