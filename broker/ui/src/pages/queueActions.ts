// What is done to a queue.
import { call, parseExact } from '../core/api';
import { term } from '../core/filter';
import { count, parseSpan } from '../core/format';
import { snapshot } from '../core/live';
import { go, url } from '../core/router';
import type { Changed, Queue } from '../core/answers';
import { t } from '../en';
import { act, ask, type Values } from '../parts/Action';
import { say } from '../parts/Notice';
import { follow } from '../parts/Progress';

const path = (queue: string, verb: string, query = {}) => url(['v1', 'queues', queue, verb], query);

export function pauseOrResume(queue: Queue): void {
  if (queue.paused) void act({ method: 'POST', path: path(queue.name, 'resume'), body: {} }, t.queues.resumed(queue.name));
  else pause(queue.name);
}

export function pause(queue: string): void {
  ask({
    title: t.queues.pauseTitle(queue),
    text: t.queues.pauseText,
    button: t.queues.pause,
    fields: [
      { name: 'why', label: t.queues.why, kind: 'text', hint: t.queues.whyHint },
      { name: 'until', label: t.queues.until, kind: 'text', hint: t.queues.untilHint },
    ],
    calls: (values) => [{ method: 'POST', path: path(queue, 'pause'), body: pauseBody(values) }],
    done: () => t.queues.isPaused(queue),
  });
}

function pauseBody(values: Values): Record<string, string> {
  const body: Record<string, string> = {};
  if (values.why) body.why = values.why;
  const length = parseSpan(values.until ?? '');
  if (length) body.until = new Date(Date.now() + length).toISOString();
  else if (values.until?.trim()) body.until = values.until.trim();
  return body;
}

/** Pauses, and says when nothing runs any more. */
export function drain(queue: string): void {
  ask({
    title: t.queues.drainTitle(queue),
    text: t.queues.drainText,
    button: t.queues.drain,
    calls: () => [{ method: 'POST', path: path(queue, 'pause'), body: { why: t.queues.drainWhy } }],
    done: () => {
      const end = snapshot.subscribe((view) => {
        const now = view?.queues.find((one) => one.name === queue);
        if (now && now.paused && now.leased === 0) {
          queueMicrotask(() => end());
          say(t.queues.drained(queue));
        }
      });
      return t.queues.draining(queue);
    },
  });
}

export function purge(queue: string): void {
  ask({
    title: t.queues.purgeTitle(queue),
    text: t.queues.purgeText,
    button: (matched) => t.queues.purgeButton(count(matched)),
    isDangerous: true,
    fields: [{ name: 'reason', label: t.reason, kind: 'text', hint: t.reasonHint }],
    measure: async () => (await call<Changed>({ method: 'POST', path: path(queue, 'purge', { dry_run: 1 }), body: {} })).matched,
    calls: (values) => [{ method: 'POST', path: path(queue, 'purge'), body: values.reason ? { reason: values.reason } : {} }],
    done: (answers) => follow(answers, t.verbs.delete.past),
  });
}

export function enqueueHere(queue: string, from?: { kind: string; payload: unknown; priority?: number; tags?: string[] }): void {
  ask({
    title: t.queues.enqueueTitle(queue),
    button: t.queues.enqueue,
    fields: [
      { name: 'kind', label: t.fields.kind, kind: 'text', isRequired: true, initial: from?.kind ?? '' },
      { name: 'payload', label: t.fields.payload, kind: 'area', initial: from ? JSON.stringify(from.payload, null, 2) : '{}', hint: t.fields.payloadHint },
      { name: 'delay', label: t.fields.delay, kind: 'span', hint: t.fields.delayHint },
      { name: 'priority', label: t.fields.priority, kind: 'number', initial: from?.priority === undefined ? '' : String(from.priority), hint: t.fields.priorityHint },
    ],
    calls: (values) => [{ method: 'POST', path: '/v1/jobs', body: jobBody(queue, values, from?.tags) }],
    done: (answers) => {
      const id = (answers[0] as { id?: string } | null)?.id;
      if (id) go(url(['jobs', id]));
      return t.queues.enqueued;
    },
  });
}

function jobBody(queue: string, values: Values, tags?: string[]): Record<string, unknown> {
  let payload: unknown = values.payload ?? '';
  try {
    payload = parseExact(values.payload ?? '');
  } catch {
    /* a text is a payload, too */
  }
  const body: Record<string, unknown> = { kind: values.kind, queue, payload };
  if (values.delay) body.delay = values.delay;
  if (values.priority) body.priority = Number(values.priority);
  if (tags?.length) body.tags = tags;
  return body;
}

export const ofQueue = (queue: string) => term('queue', queue);
