// What is done to jobs: to one, to those that were chosen, or to all that match a filter.
import { type Call, call, parseExact } from '../core/api';
import { join, term } from '../core/filter';
import { count } from '../core/format';
import { go, url } from '../core/router';
import type { Changed, Job, State } from '../core/answers';
import { t } from '../en';
import { ask, type Field, type Values } from '../parts/Action';
import { follow } from '../parts/Progress';

export type Verb = 'retry' | 'cancel' | 'delete' | 'run_now' | 'move' | 'bury' | 'confirm';

const OPEN: State[] = ['held', 'scheduled', 'blocked', 'ready', 'leased'];
const WAITING: State[] = ['held', 'scheduled', 'blocked', 'ready'];

/** The verbs that make sense for a job in this state, the likeliest first. */
export function verbsFor(state: State | '', isRetrying = false): Verb[] {
  if (state === '') return ['retry', 'cancel', 'delete'];
  if (state === 'held') return ['confirm', 'cancel', 'delete'];
  if (state === 'scheduled') return [isRetrying ? 'retry' : 'run_now', 'cancel', 'move', 'bury', 'delete'];
  if (state === 'leased') return ['cancel'];
  if (WAITING.includes(state)) return ['cancel', 'move', 'bury', 'delete'];
  return ['retry', 'delete'];
}

export const isOpen = (state: State) => OPEN.includes(state);
const isDangerous = (verb: Verb) => verb === 'delete' || verb === 'cancel' || verb === 'bury';

function fieldsFor(verb: Verb, isMany: boolean): Field[] {
  const fields: Field[] = [];
  if (verb === 'move') fields.push({ name: 'queue', label: t.fields.toQueue, kind: 'text', isRequired: true });
  if (verb === 'retry') {
    fields.push({ name: 'reset_attempts', label: t.fields.reset, kind: 'check', hint: t.fields.resetHint });
    if (isMany) {
      fields.push({ name: 'per_second', label: t.fields.perSecond, kind: 'number', hint: t.fields.perSecondHint });
      fields.push({ name: 'stop', label: t.fields.stop, kind: 'number', hint: t.fields.stopHint });
    }
  }
  fields.push({ name: 'reason', label: t.reason, kind: 'text', hint: t.reasonHint });
  return fields;
}

function bodyOf(verb: Verb, values: Values): Record<string, unknown> {
  const body: Record<string, unknown> = {};
  if (values.reason) body.reason = values.reason;
  if (verb === 'move') body.queue = values.queue;
  if (verb === 'retry' && values.reset_attempts === 'true') body.reset_attempts = true;
  if (Number(values.per_second)) body.per_second = Number(values.per_second);
  if (Number(values.stop)) body.stop_failure_permille = Math.round(Number(values.stop) * 10);
  return body;
}

/** One job, from its page. */
export function changeJob(verb: Verb, job: Job): void {
  const callOf = (values: Values): Call =>
    verb === 'delete'
      ? { method: 'DELETE', path: url(['v1', 'jobs', job.id], { reason: values.reason }) }
      : { method: 'POST', path: url(['v1', 'jobs', job.id, verb.replace('_', '-')]), body: bodyOf(verb, values) };
  ask({
    title: t.verbs[verb].one,
    text: t.verbs[verb].text,
    button: t.verbs[verb].name,
    isDangerous: isDangerous(verb),
    fields: fieldsFor(verb, false),
    calls: (values) => [callOf(values)],
    done: () => {
      if (verb === 'delete') go('/jobs');
      return t.done.changed(1, t.verbs[verb].past);
    },
  });
}

/** A filter has at most 64 values. */
const IDS_PER_CALL = 50;

function operations(verb: Verb, filters: string[], values: Values): Call[] {
  return filters.map((q) => ({
    method: 'POST',
    path: '/v1/operations',
    body: { action: verb === 'run_now' ? 'run_at' : verb, q, ...bodyOf(verb, values) },
  }));
}

/** Those that were chosen by hand. */
export function changeChosen(verb: Verb, ids: string[], done: () => void): void {
  const filters: string[] = [];
  for (let at = 0; at < ids.length; at += IDS_PER_CALL) filters.push(`id:${ids.slice(at, at + IDS_PER_CALL).join(',')}`);
  changeMany(verb, filters, t.jobs.chosen(ids.length), ids.length, done);
}

/** All that match, on this page and on others. */
export function changeMatching(verb: Verb, q: string, done: () => void): void {
  changeMany(verb, [q], q, null, done);
}

function changeMany(verb: Verb, filters: string[], which: string, known: number | null, done: () => void): void {
  const measure = async () => {
    const answers = await Promise.all(
      operations(verb, filters, verb === 'move' ? { queue: 'default' } : {}).map((one) =>
        call<Changed>({ ...one, path: '/v1/operations?dry_run=1', body: { ...(one.body as object), dry_run: true } }),
      ),
    );
    return answers.reduce((sum, one) => sum + one.matched, 0);
  };
  ask({
    title: t.verbs[verb].many,
    text: t.jobs.bulkText(t.verbs[verb].text, which),
    button: (matched) => t.verbs[verb].button(count(matched), matched),
    isDangerous: isDangerous(verb),
    fields: fieldsFor(verb, known === null),
    measure,
    calls: (values) => operations(verb, filters, values),
    done: (answers) => {
      done();
      return follow(answers, t.verbs[verb].past);
    },
  });
}

/** Runs the dead of an error group again, slowly, and stops by itself if they fail again. */
export function redrive(fingerprint: string): void {
  const q = join('state:dead', term('fingerprint', fingerprint));
  const body = (values: Values) => ({ action: 'retry', q, ...bodyOf('retry', values) });
  ask({
    title: t.errors.redriveTitle,
    text: t.errors.redriveText,
    button: (matched) => t.errors.redriveButton(count(matched)),
    fields: [
      { name: 'per_second', label: t.fields.perSecond, kind: 'number', initial: '50', hint: t.fields.perSecondHint },
      { name: 'stop', label: t.fields.stop, kind: 'number', initial: '30', hint: t.fields.stopHint },
      { name: 'reset_attempts', label: t.fields.reset, kind: 'check', initial: 'true', hint: t.fields.resetHint },
      { name: 'reason', label: t.reason, kind: 'text', hint: t.reasonHint },
    ],
    measure: async () => (await call<Changed>({ method: 'POST', path: '/v1/operations?dry_run=1', body: { action: 'retry', q, dry_run: true } })).matched,
    calls: (values) => [{ method: 'POST', path: '/v1/operations', body: body(values) }],
    done: (answers) => follow(answers, t.verbs.retry.past),
  });
}

/** Payload and priority of a job that waits. */
export function editJob(job: Job): void {
  ask({
    title: t.job.editTitle,
    text: t.job.editText,
    button: t.save,
    fields: [
      { name: 'payload', label: t.fields.payload, kind: 'area', initial: JSON.stringify(job.payload, null, 2), hint: t.fields.payloadHint },
      { name: 'priority', label: t.fields.priority, kind: 'number', initial: String(job.priority), hint: t.fields.priorityHint },
    ],
    calls: (values) => [{ method: 'PATCH', path: url(['v1', 'jobs', job.id]), body: patch(job, values) }],
    done: () => t.job.edited,
  });
}

function patch(job: Job, values: Values): Record<string, unknown> {
  const body: Record<string, unknown> = {};
  if (values.payload !== JSON.stringify(job.payload, null, 2)) {
    try {
      body.payload = parseExact(values.payload ?? '');
    } catch {
      body.payload = values.payload;
    }
  }
  if (values.priority && Number(values.priority) !== job.priority) body.priority = Number(values.priority);
  return body;
}
