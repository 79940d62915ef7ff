// The charts of the broker or of one queue, from the history that the broker keeps.
import { Problem } from '../core/api';
import { course, snapshot } from '../core/live';
import { useResource } from '../core/resource';
import { url } from '../core/router';
import { items } from '../core/shape';
import type { Series } from '../core/answers';
import { now, span } from '../core/format';
import { t } from '../en';
import { Chart, type Line } from './Chart';
import { spanOf } from './Head';

interface Course {
  times: number[];
  of: (metric: string) => (number | null)[] | undefined;
}

function shapeSeries(answer: unknown): Series[] {
  return items(answer, (row) => row as unknown as Series);
}

/**
 * Several courses on one axis of time: the longest of them is the axis. Without the step that is not over, which would
 * look like a fall, and without the time before the broker was first started.
 */
function aligned(all: Series[]): Course {
  const longest = all.reduce<Series | null>((best, one) => (!best || one.values.length > best.values.length ? one : best), null);
  if (!longest) return { times: [], of: () => undefined };
  const start = Date.parse(longest.start_at ?? '') / 1000;
  const step = longest.step_ms / 1000;
  const began = Date.parse(snapshot.peek()?.server.started_at ?? '') / 1000;
  const isBefore = (at: number) => start + (at + 1) * step < began && all.every((one) => !one.values[at]);
  let first = 0;
  while (first < longest.values.length - 2 && isBefore(first)) first += 1;
  const over = now.peek() / 1000;
  const axis = longest.values.map((_, at) => at).filter((at) => at >= first && start + (at + 1) * step <= over);
  return {
    times: axis.map((at) => start + at * step),
    of: (metric) => {
      const one = all.find((series) => series.metric === metric);
      if (!one) return undefined;
      const shift = Math.round((Date.parse(one.start_at ?? '') / 1000 - start) / step);
      return axis.map((at) => one.values[at - shift] ?? null);
    },
  };
}

/** The five minutes that this tab has seen, for the time before the broker has a history. */
function seen(queue: string): Course {
  const moments = course(queue);
  const first = moments[0];
  return {
    times: moments.map((moment) => moment.at / 1000),
    of: (metric) => (first && metric in first ? moments.map((moment) => (moment as unknown as Record<string, number>)[metric] ?? null) : undefined),
  };
}

/** A broker that keeps no history is asked once. */
let isAbsent = false;

export function Courses({ queue = '', range, isShort }: { queue?: string; range: string | null; isShort?: boolean }) {
  const { name, window, step } = spanOf(range);
  const path = url(['v1', 'stats', 'series'], { queue, window_ms: window, step_ms: step });
  const answer = useResource(isAbsent ? null : path, shapeSeries, Math.max(5000, Math.min(step, 60_000)));
  if (answer.error instanceof Problem && (answer.error.status === 404 || answer.error.status === 501)) isAbsent = true;
  const kept = aligned((answer.value ?? []).filter((series) => (series.queue ?? '') === queue));
  const hasHistory = kept.times.length > 1;
  const use = hasHistory ? kept : seen(queue);
  const perMinute = hasHistory ? 60_000 / step : 60;
  const scope = hasHistory ? t.charts.last(name) : t.charts.seen;
  const count = (metric: string) => use.of(metric)?.map((value) => (value === null ? null : value * perMinute));
  const flow: Line[] = [
    line('enqueued', '--c-enqueued', count('enqueued')),
    line('completed', '--c-completed', count('completed'), { isFilled: true }),
    line('failed', '--c-failed', count('failed')),
    line('dead', '--c-dead', count('dead'), { isDashed: true }),
  ].filter((one): one is Line => one !== null);
  const depth: Line[] = [
    line('ready', '--c-enqueued', use.of('ready'), { isFilled: true }),
    line('leased', '--c-completed', use.of('leased')),
  ].filter((one): one is Line => one !== null);
  const waits: Line[] = [
    line('wait_p50_ms', '--c-completed', use.of('wait_p50_ms')),
    line('wait_p95_ms', '--c-enqueued', use.of('wait_p95_ms'), { isDashed: true }),
    line('wait_p99_ms', '--c-failed', use.of('wait_p99_ms')),
  ].filter((one): one is Line => one !== null);
  return (
    <div class={`charts ${isShort ? 'is-two' : ''}`}>
      <Chart title={t.charts.flow} scope={`${t.charts.perMinute} · ${scope}`} times={use.times} lines={flow} />
      {waits.length > 0 && <Chart title={t.charts.wait} scope={scope} times={use.times} lines={waits} format={span} />}
      {depth.length > 0 && !(isShort && waits.length > 0) && <Chart title={t.charts.depth} scope={`${t.charts.jobs} · ${scope}`} times={use.times} lines={depth} />}
    </div>
  );
}

function line(metric: keyof typeof t.charts.lines, color: string, values: (number | null)[] | undefined, more: Partial<Line> = {}): Line | null {
  return values ? { label: t.charts.lines[metric], color, values, ...more } : null;
}
