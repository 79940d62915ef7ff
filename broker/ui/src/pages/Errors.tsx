// Failures in groups that look alike, and a guarded way to run their dead again.
import { compact, count } from '../core/format';
import { useResource } from '../core/resource';
import { place, refine, url } from '../core/router';
import { errorGroup, items, job as shapeJob, pageOf } from '../core/shape';
import type { ErrorGroup } from '../core/answers';
import { redactText } from '../core/redact';
import { t } from '../en';
import { Facts, Head, Panel, Spans, Table, Tile } from '../parts/Head';
import { Link } from '../parts/Link';
import { Empty, Loading, Trouble } from '../parts/Notice';
import { Time } from '../parts/Time';
import { JobTable, shortId } from './JobTable';
import { redrive } from './jobActions';

const WINDOWS = ['15m', '1h', '24h', '7d'];
const shape = (answer: unknown) => items(answer, errorGroup);

export function Errors() {
  const [, fingerprint] = place.value.path;
  const window = WINDOWS.includes(place.value.query.get('window') ?? '') ? place.value.query.get('window')! : '24h';
  const q = place.value.query.get('q') ?? '';
  const told = useResource(url(['v1', 'errors'], { window, q }), shape, 5000);
  if (fingerprint !== undefined) return <Group fingerprint={fingerprint} window={window} groups={told.value} error={told.error} />;
  const groups = [...(told.value ?? [])].sort((a, b) => b.dead - a.dead || b.count - a.count);
  const dead = groups.reduce((sum, group) => sum + group.dead, 0);
  return (
    <>
      <Head title={t.pages.errors} line={told.value ? t.errors.line(groups.length, dead) : undefined}>
        <Spans value={window} names={WINDOWS} choose={(name) => refine({ window: name === '24h' ? null : name })} />
      </Head>
      {told.error !== null && <Trouble error={told.error} retry={told.reload} />}
      {!told.value ? (
        told.error === null && <Loading />
      ) : !groups.length ? (
        <Empty title={t.errors.none}>{t.errors.noneText(window)}</Empty>
      ) : (
        <section class="panel">
          <Table label={t.pages.errors} rows>
            <thead>
              <tr>
                <th scope="col">{t.errors.columns.what}</th>
                <th scope="col">{t.errors.columns.where}</th>
                <th scope="col" class="num">
                  {t.errors.columns.count(window)}
                </th>
                <th scope="col" class="num">
                  {t.errors.columns.dead}
                </th>
                <th scope="col">{t.errors.columns.last}</th>
                <th scope="col">
                  <span class="visually-hidden">{t.actions}</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {groups.map((group) => (
                <tr key={group.fingerprint} data-row="">
                  <th scope="row" class="error-cell">
                    <Link to={url(['errors', group.fingerprint], { window: window === '24h' ? '' : window })} class="row-link" opens>
                      {group.class || t.errors.noClass}
                    </Link>
                    <span class="error-message">{redactText(group.message)}</span>
                  </th>
                  <td class="name">
                    {group.kinds.slice(0, 2).join(', ')}
                    {group.kinds.length > 2 && ` +${group.kinds.length - 2}`}
                    <span class="sub">{group.queues.slice(0, 3).join(', ')}</span>
                  </td>
                  <td class="num">{compact(group.count)}</td>
                  <td class={`num ${group.dead ? 'is-bad' : ''}`}>{group.dead ? compact(group.dead) : <span class="faint">–</span>}</td>
                  <td>
                    <Time at={group.last_at} />
                  </td>
                  <td class="row-actions">
                    {group.dead > 0 && (
                      <button type="button" class="button is-small" aria-label={t.errors.redriveLabel(group.dead, group.class)} onClick={() => redrive(group.fingerprint)}>
                        {t.errors.redrive(count(group.dead))}…
                      </button>
                    )}
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

function Group({ fingerprint, window, groups, error }: { fingerprint: string; window: string; groups: ErrorGroup[] | null; error: unknown }) {
  const group = groups?.find((one) => one.fingerprint === fingerprint);
  const q = `fingerprint:${fingerprint}`;
  const jobs = useResource(url(['v1', 'jobs'], { q, limit: 20, sort: '-created_at' }), (answer) => pageOf(answer, shapeJob), 5000);
  const above = <Link to={url(['errors'], { window: window === '24h' ? '' : window })}>{t.pages.errors}</Link>;
  const title = group?.class || (groups ? t.errors.noClass : fingerprint);
  return (
    <>
      <Head title={title} above={above} line={group ? <span class="error-message">{redactText(group.message)}</span> : undefined}>
        {group && group.dead > 0 && (
          <button type="button" class="button is-primary" onClick={() => redrive(fingerprint)}>
            {t.errors.redrive(count(group.dead))}…
          </button>
        )}
        <Link to={url(['jobs'], { q })} class="button">
          {t.errors.seeJobs}
        </Link>
      </Head>
      {error !== null && error !== undefined && <Trouble error={error} />}
      {groups && !group && <Empty title={t.errors.quiet}>{t.errors.quietText(window)}</Empty>}
      {group && (
        <>
          <dl class="tiles">
            <Tile label={t.errors.failed} value={compact(group.count)} scope={t.lastSpan(window)} />
            <Tile label={t.states.dead} value={compact(group.dead)} scope={t.queues.kept} isBad={group.dead > 0} />
            <Tile label={t.errors.first} value={<Time at={group.first_at} />} scope={t.errors.seenFirst} />
            <Tile label={t.errors.last} value={<Time at={group.last_at} />} scope={t.errors.seenLast} />
          </dl>
          <Panel title={t.job.details}>
            <Facts
              rows={[
                [t.errors.kinds, group.kinds.join(', ')],
                [t.pages.queues, <>{group.queues.map((queue) => <Link key={queue} to={url(['queues', queue])} class="spaced">{queue}</Link>)}</>],
                [t.errors.sample, group.sample ? <Link to={url(['jobs', group.sample])}>{shortId(group.sample)}</Link> : null],
                [t.errors.fingerprint, <code>{fingerprint}</code>],
              ]}
            />
          </Panel>
        </>
      )}
      {jobs.value && jobs.value.items.length > 0 && (
        <Panel title={t.errors.jobs} scope={t.errors.jobsScope(jobs.value.items.length, jobs.value.total)}>
          <JobTable jobs={jobs.value.items} />
        </Panel>
      )}
    </>
  );
}
