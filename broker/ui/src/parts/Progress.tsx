// Bulk changes that go on in the background: how far each is, how fast, and a button that stops it.
import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { get } from '../core/api';
import { count, rate } from '../core/format';
import { snapshot } from '../core/live';
import { somethingChanged } from '../core/resource';
import { url } from '../core/router';
import { operation as shape } from '../core/shape';
import type { Changed, Operation } from '../core/answers';
import { t } from '../en';
import { ask } from './Action';
import { Icon } from './Icon';
import { Link } from './Link';

/** Those that this tab has begun and not put away. */
const watched = signal<string[]>([]);
const known = signal<Record<string, Operation>>({});

/** What is said of a change: done at once, or under way as an operation that is shown from here on. */
export function follow(answers: unknown[], verb: string): string | void {
  const changes = answers as Changed[];
  const operations = changes.map((one) => one?.operation).filter((id): id is string => !!id);
  if (operations.length) {
    watched.value = [...watched.value, ...operations];
    return undefined;
  }
  const changed = changes.reduce((sum, one) => sum + (one?.changed ?? 0), 0);
  return t.done.changed(changed, verb);
}

export function stop(operation: Operation): void {
  ask({
    title: t.operations.stopTitle,
    text: t.operations.stopText(count(operation.changed), count(operation.matched)),
    button: t.operations.stop,
    isDangerous: true,
    calls: () => [{ method: 'DELETE', path: url(['v1', 'operations', operation.id]) }],
    done: () => t.operations.stopped,
  });
}

export function Bar({ operation }: { operation: Operation }) {
  const share = operation.matched ? operation.changed / operation.matched : 1;
  return (
    <span class="bar" role="progressbar" aria-label={t.operations.progress} aria-valuemin={0} aria-valuemax={operation.matched} aria-valuenow={operation.changed}>
      <span class="bar-fill" style={{ width: `${Math.min(100, share * 100)}%` }} />
    </span>
  );
}

function Card({ id }: { id: string }) {
  const operation = known.value[id];
  const speed = useRef({ at: 0, changed: 0, perSecond: 0 });
  useEffect(() => {
    let isOver = false;
    const load = async () => {
      try {
        const next = shape(await get(url(['v1', 'operations', id])));
        const last = speed.current;
        const seconds = (Date.now() - last.at) / 1000;
        const perSecond = last.at && seconds > 0 ? Math.max(0, (next.changed - last.changed) / seconds) : 0;
        speed.current = { at: Date.now(), changed: next.changed, perSecond };
        if (isOver) return;
        known.value = { ...known.value, [id]: next };
        if (next.finished_at) {
          isOver = true;
          clearInterval(timer);
          somethingChanged();
        }
      } catch {
        /* the broker is away for a moment: the next round asks again */
      }
    };
    const timer = setInterval(() => void load(), 1000);
    void load();
    return () => {
      isOver = true;
      clearInterval(timer);
    };
  }, [id]);
  if (!operation) return null;
  const isDone = !!operation.finished_at;
  return (
    <div class="operation">
      <div class="operation-head">
        <strong>{t.operations.title(operation.to)}</strong>
        <span class="muted num">
          {count(operation.changed)} / {count(operation.matched)}
          {!isDone && speed.current.perSecond > 0 && ` · ${t.perSecond(rate(speed.current.perSecond))}`}
        </span>
        {isDone ? (
          <button type="button" class="copy" aria-label={t.close} onClick={() => (watched.value = watched.value.filter((other) => other !== id))}>
            <Icon name="close" size={14} />
          </button>
        ) : (
          <button type="button" class="button is-small" onClick={() => stop(operation)}>
            {t.operations.stop}
          </button>
        )}
      </div>
      <Bar operation={operation} />
      <p class="muted">
        {isDone ? (operation.stopped_why ? t.operations.stoppedBecause(operation.stopped_why) : t.operations.finished) : t.operations.underWay}{' '}
        <Link to="/settings/operations">{t.operations.all}</Link>
      </p>
    </div>
  );
}

export function Operations() {
  if (!watched.value.length || !snapshot.value) return null;
  return (
    <aside class="operations" aria-label={t.operations.aside}>
      {watched.value.map((id) => (
        <Card key={id} id={id} />
      ))}
    </aside>
  );
}

