// How a queue treats its jobs: what is set, what applies otherwise, and a way to change it.
import { callFull, get, sentence } from '../core/api';
import { parseSpan, span, typedSpan } from '../core/format';
import { useResource } from '../core/resource';
import { url } from '../core/router';
import { given, items, queue as shapeQueue } from '../core/shape';
import type { Policy, Queue } from '../core/answers';
import { t } from '../en';
import { ask, type Field, type Values } from '../parts/Action';
import { Facts, Panel } from '../parts/Head';
import { say } from '../parts/Notice';

type Sort = 'number' | 'span' | 'ordering';
const FIELDS: [string, Sort][] = [
  ['priority', 'number'],
  ['max_attempts', 'number'],
  ['max_crashes', 'number'],
  ['timeout_ms', 'span'],
  ['lease_ms', 'span'],
  ['stall_ms', 'span'],
  ['ttl_ms', 'span'],
  ['keep_done_ms', 'span'],
  ['keep_done_max', 'number'],
  ['keep_dead_ms', 'span'],
  ['ordering', 'ordering'],
];

const label = (name: string) => t.policy.fields[name as keyof typeof t.policy.fields];

function show(value: unknown, sort: Sort): string {
  if (sort === 'span') return Number(value) ? span(Number(value)) : t.policy.none;
  return String(value);
}

export function Policies({ name }: { name: string }) {
  const told = useResource(url(['v1', 'queues', name]), (answer) => shapeQueue(answer as Record<string, unknown>));
  const queue = told.value;
  if (!queue) return null;
  const policy = queue.policy ?? {};
  const isSet = (field: string) => policy[field] !== undefined && policy[field] !== null;
  return (
    <Panel
      title={t.policy.title}
      scope={t.policy.scope}
      actions={
        <button type="button" class="link-button" onClick={() => void edit(name).catch((error: unknown) => say(sentence(error), true))}>
          {t.edit}
        </button>
      }
    >
      <Facts
        rows={FIELDS.map(([field, sort]) => [
          label(field),
          isSet(field) ? <strong>{show(policy[field], sort)}</strong> : <span class="faint">{t.policy.defaults[field as keyof typeof t.policy.defaults]}</span>,
        ])}
      />
    </Panel>
  );
}

/** Takes what is stored now as the beginning, and stores it only if nobody else has changed it meanwhile. */
async function edit(name: string): Promise<void> {
  const path = url(['v1', 'queues', name]);
  const { value, etag } = await callFull<Record<string, unknown>>({ method: 'GET', path });
  const stored = items(await get('/v1/config?limit=1000'), (row) => row).find((row) => row.name === `queue/${name}`);
  const others = given((stored?.queue ?? {}) as Record<string, unknown>);
  const queue: Queue = shapeQueue(value);
  const policy: Policy = queue.policy ?? {};
  const text = (field: string, sort: Sort) => {
    const value = policy[field];
    if (value === undefined || value === null) return '';
    return sort === 'span' ? typedSpan(Number(value)) : String(value);
  };
  const fields: Field[] = FIELDS.map(([field, sort]) => ({
    name: field,
    label: label(field),
    kind: sort === 'ordering' ? 'choice' : sort,
    initial: text(field, sort),
    hint: t.policy.otherwise(t.policy.defaults[field as keyof typeof t.policy.defaults]),
    choices: sort === 'ordering' ? [{ value: '', label: t.policy.notSet }, ...['fair', 'serial', 'serial_skip_failed'].map((one) => ({ value: one, label: one }))] : undefined,
  }));
  ask({
    title: t.policy.editTitle(name),
    text: t.policy.editText,
    button: t.save,
    fields,
    calls: (values) => [{ method: 'PUT', path, headers: (etag && queue.version ? { 'if-match': etag } : {}) as Record<string, string>, body: { ...others, policy: { ...rest(policy), ...typed(values) } } }],
    done: () => t.policy.saved(name),
  });
}

/** What the form does not know stays as it is. */
function rest(policy: Policy): Record<string, unknown> {
  const known = new Set(FIELDS.map(([field]) => field));
  return Object.fromEntries(Object.entries(policy).filter(([field, value]) => !known.has(field) && value !== null && value !== undefined));
}

function typed(values: Values): Record<string, unknown> {
  const policy: Record<string, unknown> = {};
  for (const [field, sort] of FIELDS) {
    const text = values[field]?.trim();
    if (!text) continue;
    policy[field] = sort === 'span' ? (parseSpan(text) ?? text) : sort === 'number' ? Number(text) : text;
  }
  return policy;
}
