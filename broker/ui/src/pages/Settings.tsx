// What the broker is set to, who changed what, where events go, and what this browser remembers.
import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { count, span } from '../core/format';
import { clock, namespace, shortcuts, theme, type Theme } from '../core/prefs';
import { useResource } from '../core/resource';
import { place, url } from '../core/router';
import { audit, items, limit, operation, webhook } from '../core/shape';
import type { Limit, Webhook } from '../core/answers';
import { t } from '../en';
import { act, ask } from '../parts/Action';
import { Command } from '../parts/Copy';
import { Head, Panel, Table } from '../parts/Head';
import { Link } from '../parts/Link';
import { Empty, Loading, Trouble } from '../parts/Notice';
import { Bar, stop } from '../parts/Progress';
import { Time } from '../parts/Time';
import { AuditTable } from './AuditTable';
import { Tokens } from './Tokens';

const TABS = ['look', 'limits', 'operations', 'webhooks', 'tokens', 'audit', 'metrics'] as const;
type Tab = (typeof TABS)[number];

export function Settings() {
  const asked = place.value.path[1] as Tab | undefined;
  const tab = asked && TABS.includes(asked) ? asked : 'look';
  return (
    <>
      <Head title={t.pages.settings} />
      <nav class="tabs" aria-label={t.settings.sections}>
        <ul>
          {TABS.map((one) => (
            <li key={one}>
              <Link to={one === 'look' ? '/settings' : `/settings/${one}`} current={one === tab ? 'true' : undefined}>
                {t.settings.tabs[one]}
              </Link>
            </li>
          ))}
        </ul>
      </nav>
      {tab === 'look' && <Look />}
      {tab === 'limits' && <Limits />}
      {tab === 'operations' && <AllOperations />}
      {tab === 'webhooks' && <Webhooks />}
      {tab === 'tokens' && <Tokens />}
      {tab === 'audit' && <Audit />}
      {tab === 'metrics' && <Metrics />}
    </>
  );
}

function Choice<T extends string>({ label, value, choices, choose }: { label: string; value: T; choices: Record<T, string>; choose: (value: T) => void }) {
  return (
    <fieldset class="choice">
      <legend>{label}</legend>
      <div class="segments">
        {(Object.keys(choices) as T[]).map((one) => (
          <button key={one} type="button" aria-pressed={one === value} onClick={() => choose(one)}>
            {choices[one]}
          </button>
        ))}
      </div>
    </fieldset>
  );
}

function Look() {
  return (
    <Panel title={t.settings.thisBrowser} scope={t.settings.thisBrowserScope}>
      <div class="choices">
        <Choice label={t.settings.theme} value={theme.value} choices={t.theme} choose={(value: Theme) => (theme.value = value)} />
        <Choice label={t.settings.clock} value={clock.value} choices={t.settings.clocks} choose={(value) => (clock.value = value)} />
        <Choice
          label={t.settings.shortcuts}
          value={shortcuts.value ? 'on' : 'off'}
          choices={t.settings.shortcutsChoice}
          choose={(value) => (shortcuts.value = value === 'on')}
        />
        <div class="field is-narrow">
          <label for="namespace">{t.settings.namespace}</label>
          <input
            id="namespace"
            type="text"
            value={namespace.value}
            autocomplete="off"
            spellcheck={false}
            aria-describedby="namespace-hint"
            onChange={(event: Event) => (namespace.value = (event.currentTarget as HTMLInputElement).value.trim() || 'default')}
          />
          <small id="namespace-hint">{t.settings.namespaceHint}</small>
        </div>
      </div>
    </Panel>
  );
}

function Limits() {
  const told = useResource('/v1/limits', (answer) => items(answer, limit), 4000);
  return (
    <Panel
      title={t.settings.limits}
      scope={t.now}
      actions={
        <button type="button" class="link-button" onClick={addLimit}>
          {t.settings.addLimit}…
        </button>
      }
    >
      {told.error !== null && <Trouble error={told.error} retry={told.reload} />}
      {!told.value ? (
        <Loading />
      ) : !told.value.length ? (
        <Empty title={t.settings.noLimits}>{t.settings.noLimitsText}</Empty>
      ) : (
        <Table label={t.settings.limits}>
          <thead>
            <tr>
              <th scope="col">{t.settings.limitColumns.name}</th>
              <th scope="col">{t.settings.limitColumns.bounds}</th>
              <th scope="col">{t.settings.limitColumns.lets}</th>
              <th scope="col" class="num">
                {t.settings.limitColumns.inUse}
              </th>
              <th scope="col" class="num">
                {t.settings.limitColumns.waiting}
              </th>
              <th scope="col">{t.settings.limitColumns.why}</th>
              <th scope="col">
                <span class="visually-hidden">{t.actions}</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {told.value.map((one) => (
              <tr key={one.name}>
                <th scope="row">
                  {one.name}
                  {one.open_until && <span class="tag is-bad">{t.settings.breakerOpen}</span>}
                </th>
                <td>{one.bounds}</td>
                <td>
                  {one.lets}
                  {one.until && (
                    <span class="sub">
                      {t.settings.until} <Time at={one.until} />
                    </span>
                  )}
                </td>
                <td class="num">{count(one.in_use)}</td>
                <td class="num">{one.waiting ? t.settings.lanes(one.waiting, one.next_free_ms ? span(one.next_free_ms) : '') : <span class="faint">–</span>}</td>
                <td class="muted">{one.why}</td>
                <td class="row-actions">
                  <button type="button" class="button is-small" aria-label={t.queues.actOn(t.remove, one.name)} onClick={() => removeLimit(one)}>
                    {t.remove}…
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </Table>
      )}
    </Panel>
  );
}

function removeLimit(one: Limit): void {
  ask({
    title: t.settings.removeLimit(one.name),
    text: t.settings.removeLimitText,
    button: t.remove,
    isDangerous: true,
    calls: () => [{ method: 'DELETE', path: url(['v1', 'limits', one.name]) }],
    done: () => t.settings.removed(one.name),
  });
}

function addLimit(): void {
  ask({
    title: t.settings.addLimit,
    text: t.settings.addLimitText,
    button: t.save,
    fields: [
      { name: 'name', label: t.settings.limitColumns.name, kind: 'text', isRequired: true },
      { name: 'queue', label: t.fields.queue, kind: 'text', hint: t.settings.emptyAny },
      { name: 'kind', label: t.fields.kind, kind: 'text', hint: t.settings.emptyAny },
      { name: 'concurrency', label: t.settings.concurrency, kind: 'number', hint: t.settings.concurrencyHint },
      { name: 'rate', label: t.settings.rate, kind: 'number', hint: t.settings.rateHint },
      { name: 'per_key', label: t.settings.perKey, kind: 'check' },
      { name: 'why', label: t.reason, kind: 'text', hint: t.reasonHint },
    ],
    calls: (values) => [
      {
        method: 'PUT',
        path: url(['v1', 'limits', values.name ?? '']),
        body: {
          ...(values.queue ? { queue: values.queue } : {}),
          ...(values.kind ? { kind: values.kind } : {}),
          ...(values.concurrency ? { concurrency: Number(values.concurrency) } : {}),
          ...(values.rate ? { rate: Number(values.rate), per_ms: 1000 } : {}),
          ...(values.per_key === 'true' ? { per_key: true } : {}),
          ...(values.why ? { why: values.why } : {}),
        },
      },
    ],
    done: (_answers, values) => t.settings.saved(values.name ?? ''),
  });
}

function AllOperations() {
  const told = useResource('/v1/operations', (answer) => items(answer, operation), 2000);
  const all = [...(told.value ?? [])].sort((a, b) => Date.parse(b.started_at ?? '') - Date.parse(a.started_at ?? ''));
  return (
    <Panel title={t.settings.tabs.operations} scope={t.settings.operationsScope}>
      {told.error !== null && <Trouble error={told.error} retry={told.reload} />}
      {!told.value ? (
        <Loading />
      ) : !all.length ? (
        <Empty title={t.settings.noOperations}>{t.settings.noOperationsText}</Empty>
      ) : (
        <Table label={t.settings.tabs.operations}>
          <thead>
            <tr>
              <th scope="col">{t.settings.operationColumns.what}</th>
              <th scope="col">{t.settings.operationColumns.progress}</th>
              <th scope="col" class="num">
                {t.settings.operationColumns.changed}
              </th>
              <th scope="col">{t.settings.operationColumns.began}</th>
              <th scope="col">{t.settings.operationColumns.ended}</th>
              <th scope="col">{t.reason}</th>
              <th scope="col">
                <span class="visually-hidden">{t.actions}</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {all.slice(0, 200).map((one) => (
              <tr key={one.id}>
                <th scope="row">{t.operations.title(one.to)}</th>
                <td>
                  <Bar operation={one} />
                </td>
                <td class="num">
                  {count(one.changed)}
                  <span class="faint"> / {count(one.matched)}</span>
                </td>
                <td>
                  <Time at={one.started_at} />
                </td>
                <td>
                  <Time at={one.finished_at} none={t.operations.underWay} />
                  {one.stopped_why && <span class="sub">{one.stopped_why}</span>}
                </td>
                <td class="muted">{one.reason}</td>
                <td class="row-actions">
                  {!one.finished_at && (
                    <button type="button" class="button is-small" onClick={() => stop(one)}>
                      {t.operations.stop}
                    </button>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </Table>
      )}
    </Panel>
  );
}

function Audit() {
  const told = useResource('/v1/audit?limit=200', (answer) => items(answer, audit), 5000);
  return (
    <Panel title={t.settings.tabs.audit} scope={t.settings.auditScope}>
      {told.error !== null && <Trouble error={told.error} retry={told.reload} />}
      {!told.value ? (
        <Loading />
      ) : !told.value.length ? (
        <Empty title={t.settings.noAudit}>{t.settings.noAuditText}</Empty>
      ) : (
        <AuditTable entries={told.value} />
      )}
    </Panel>
  );
}

interface Delivery {
  id?: string;
  job?: string;
  at?: string;
  event?: string;
  state?: string;
  status?: number;
  error?: string;
  message?: string;
}

/** A secret that the broker has just made: it is shown until the page is left, and never again. */
const made = signal<{ name: string; secret: string } | null>(null);

function Webhooks() {
  useEffect(() => () => void (made.value = null), []);
  const told = useResource('/v1/webhooks', (answer) => items(answer, webhook), 10_000);
  return (
    <Panel
      title={t.settings.tabs.webhooks}
      scope={t.settings.webhooksScope}
      actions={
        <button type="button" class="link-button" onClick={addWebhook}>
          {t.settings.addWebhook}…
        </button>
      }
    >
      {told.error !== null && <Trouble error={told.error} retry={told.reload} />}
      {made.value && (
        <div class="panel-text" role="status">
          <p>{t.settings.secretOf(made.value.name)}</p>
          <Command text={made.value.secret} />
        </div>
      )}
      {told.value?.length === 0 ? (
        <Empty title={t.settings.noWebhooks}>
          <p>{t.settings.noWebhooksText}</p>
          <Command text={t.settings.webhookExample} />
        </Empty>
      ) : !told.value ? (
        <Loading />
      ) : (
        told.value.map((one) => <OneWebhook key={one.name} one={one} />)
      )}
    </Panel>
  );
}

function addWebhook(): void {
  ask({
    title: t.settings.addWebhook,
    text: t.settings.addWebhookText,
    button: t.save,
    fields: [
      { name: 'name', label: t.settings.limitColumns.name, kind: 'text', isRequired: true },
      { name: 'url', label: t.settings.url, kind: 'text', isRequired: true, hint: t.settings.urlHint },
      { name: 'names', label: t.settings.events, kind: 'text', hint: t.settings.eventsHint, initial: 'job.dead,worker.lost,queue.no_worker' },
      { name: 'secret', label: t.settings.secret, kind: 'text', hint: t.settings.secretHint },
    ],
    calls: (values) => [
      {
        method: 'PUT',
        path: url(['v1', 'webhooks', values.name ?? '']),
        body: {
          url: values.url,
          ...(values.names?.trim() ? { names: values.names.split(/[\s,]+/).filter(Boolean) } : {}),
          ...(values.secret ? { secret: values.secret } : {}),
        },
      },
    ],
    done: (answers, values) => {
      const secret = (answers[0] as { secret?: string | null } | undefined)?.secret;
      made.value = secret ? { name: values.name ?? '', secret } : null;
      return t.settings.saved(values.name ?? '');
    },
  });
}

function OneWebhook({ one }: { one: Webhook }) {
  const path = (verb?: string) => url(['v1', 'webhooks', one.name, ...(verb ? [verb] : [])]);
  const deliveries = useResource(path('deliveries'), (answer) => items(answer, (row) => row as Delivery), 5000);
  return (
    <div class="webhook">
      <div class="webhook-head">
        <strong>{one.name}</strong>
        <code>{one.url}</code>
        <span class="grow" />
        <button type="button" class="button is-small" onClick={() => void act({ method: 'POST', path: path('test'), body: {} }, t.settings.tested(one.name))}>
          {t.settings.test}
        </button>
        <button
          type="button"
          class="button is-small"
          onClick={() =>
            ask({
              title: t.settings.removeWebhook(one.name),
              text: t.settings.removeWebhookText,
              button: t.remove,
              isDangerous: true,
              calls: () => [{ method: 'DELETE', path: path() }],
              done: () => t.settings.removed(one.name),
            })
          }
        >
          {t.remove}…
        </button>
      </div>
      <p class="tags">{one.names.length ? one.names.map((name) => <span key={name} class="tag">{name}</span>) : <span class="muted">{t.settings.allEvents}</span>}</p>
      {deliveries.value && deliveries.value.length > 0 ? (
        <Table label={t.settings.deliveries}>
          <thead>
            <tr>
              <th scope="col">{t.settings.deliveryColumns.when}</th>
              <th scope="col">{t.settings.deliveryColumns.event}</th>
              <th scope="col">{t.settings.deliveryColumns.state}</th>
              <th scope="col">{t.settings.deliveryColumns.error}</th>
            </tr>
          </thead>
          <tbody>
            {deliveries.value.slice(0, 20).map((row, at) => (
              <tr key={row.id ?? row.job ?? at}>
                <th scope="row">{row.job || row.id ? <Link to={url(['jobs', row.job ?? row.id ?? ''])}><Time at={row.at ?? (row as { created_at?: string }).created_at} /></Link> : <Time at={row.at} />}</th>
                <td>{row.event ?? ''}</td>
                <td>{row.status ?? row.state ?? ''}</td>
                <td class="muted">{row.error ?? row.message ?? ''}</td>
              </tr>
            ))}
          </tbody>
        </Table>
      ) : (
        <p class="muted panel-text">{t.settings.noDeliveries}</p>
      )}
    </div>
  );
}

function Metrics() {
  const host = location.host;
  return (
    <>
      <Panel title={t.settings.prometheus} scope="prometheus.yml">
        <Command text={`scrape_configs:\n  - job_name: windlass\n    static_configs:\n      - targets: ['${host}']`} label={t.settings.prometheus} />
        <p class="muted panel-text">{t.settings.prometheusText}</p>
      </Panel>
      <Panel title={t.settings.keda} scope="ScaledObject">
        <Command
          text={`triggers:\n  - type: metrics-api\n    metadata:\n      url: "${location.origin}/v1/scale?queue=default"\n      valueLocation: "backlog_seconds"\n      targetValue: "30"\n      activationTargetValue: "0.1"`}
          label={t.settings.keda}
        />
        <p class="muted panel-text">{t.settings.kedaText}</p>
      </Panel>
      <Panel title={t.settings.check} scope="curl">
        <Command text={`curl -sS ${location.origin}/metrics\ncurl -sS '${location.origin}/v1/scale?queue=default'\ncurl -sS ${location.origin}/readyz`} label={t.settings.check} />
      </Panel>
    </>
  );
}
