// A course over time on a canvas, in the colours of the theme, with the same numbers in a table behind a button.
import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import { absolute, compact, timeOfDay } from '../core/format';
import { clock, painted } from '../core/prefs';
import { t } from '../en';

export interface Line {
  label: string;
  /** The CSS variable of its colour. */
  color: string;
  values: (number | null)[];
  isFilled?: boolean;
  isDashed?: boolean;
}

interface Props {
  title: string;
  /** What the numbers are: "jobs per minute, last 1 h". */
  scope: string;
  /** Instants in seconds. */
  times: number[];
  lines: Line[];
  format?: (value: number) => string;
  height?: number;
}

/** Seconds that a chart shows at least: of its first moments there is no course yet. */
const SHORTEST = 60;
/** Between lines of the grid: numbers of jobs are whole. */
const STEPS = Array.from({ length: 36 }, (_, at) => [1, 2, 5][at % 3]! * 10 ** Math.floor(at / 3));

/** A colour as the canvas needs it; `light-dark()` is settled by the element. */
function colorOf(element: HTMLElement, name: string, alpha = 1): string {
  const probe = document.createElement('span');
  probe.style.color = `var(${name})`;
  element.append(probe);
  const [, r, g, b] = /(\d+),? +(\d+),? +(\d+)/.exec(getComputedStyle(probe).color) ?? ['', '128', '128', '128'];
  probe.remove();
  return `rgba(${r}, ${g}, ${b}, ${alpha})`;
}

/** A single moment would be drawn on an axis of years. */
function plotted(times: number[], lines: Line[]): uPlot.AlignedData {
  const [first] = times;
  if (first === undefined || times.length > 1) return [times, ...lines.map((line) => line.values)];
  return [[first - SHORTEST, first], ...lines.map((line) => [null, line.values[0] ?? null])];
}

export function Chart({ title, scope, times, lines, format = compact, height = 180 }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [at, setAt] = useState<number | null>(null);
  const [isTable, setTable] = useState(false);
  const shapeKey = `${lines.map((line) => line.label + line.color).join()} ${painted.value} ${clock.value} ${isTable} ${height}`;
  const data = plotted(times, lines);

  useEffect(() => {
    const element = box.current;
    if (!element || isTable) return undefined;
    const text = colorOf(element, '--muted');
    const grid = colorOf(element, '--line');
    const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { show: false }, font: '11px system-ui, sans-serif' };
    const options: uPlot.Options = {
      width: element.clientWidth || 300,
      height,
      padding: [8, 14, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
      tzDate: (seconds) => (clock.value === 'utc' ? uPlot.tzDate(new Date(seconds * 1000), 'Etc/UTC') : new Date(seconds * 1000)),
      scales: { x: { range: (_plot, low, high) => [Math.min(low, high - SHORTEST), high] }, y: { range: (_plot, _low, high) => [0, high > 0 ? high * 1.1 : 1] } },
      axes: [
        { ...axis, grid: { show: false }, size: 28, space: 80, values: dates },
        { ...axis, size: 46, space: 36, incrs: STEPS, values: (_plot, splits) => splits.map((value) => format(value)) },
      ],
      series: [
        {},
        ...lines.map((line) => ({
          label: line.label,
          stroke: colorOf(element, line.color),
          width: 1.75,
          dash: line.isDashed ? [4, 4] : undefined,
          fill: line.isFilled ? colorOf(element, line.color, 0.1) : undefined,
          points: { show: false },
        })),
      ],
      hooks: { setCursor: [(self) => setAt(self.cursor.idx ?? null)] },
    };
    const made = new uPlot(options, data, element);
    plot.current = made;
    const watch = new ResizeObserver(() => {
      if (element.clientWidth > 0) made.setSize({ width: element.clientWidth, height });
    });
    watch.observe(element);
    return () => {
      watch.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [shapeKey]);
  useEffect(() => plot.current?.setData(data), [data]);

  const shown = at !== null && at < times.length ? at : times.length - 1;
  return (
    <figure class="panel chart">
      <figcaption class="panel-head">
        <h2>{title}</h2>
        <span class="scope">{at !== null && times[shown] ? timeOfDay(times[shown]! * 1000) : scope}</span>
        <button type="button" class="link-button" aria-pressed={isTable} onClick={() => setTable(!isTable)}>
          {isTable ? t.showChart : t.showData}
        </button>
      </figcaption>
      <ul class="legend">
        {lines.map((line) => (
          <li key={line.label}>
            <svg width="14" height="8" aria-hidden="true">
              <line x1="0" x2="14" y1="4" y2="4" class={`legend-line ${line.isDashed ? 'is-dashed' : ''}`} style={{ stroke: `var(${line.color})` }} />
            </svg>
            {line.label}
            <b>{typeof line.values[shown] === 'number' ? format(line.values[shown] as number) : '–'}</b>
          </li>
        ))}
      </ul>
      {isTable ? <Twin title={title} times={times} lines={lines} format={format} /> : <div ref={box} class="canvas" style={{ height: `${height}px` }} />}
    </figure>
  );
}

function dates(_plot: uPlot, splits: number[], _axis: number, _space: number, step: number): string[] {
  return splits.map((seconds) => {
    const text = absolute(seconds * 1000);
    return step >= 86_400 ? text.slice(5, 10) : step >= 3600 * 6 ? `${text.slice(5, 10)} ${text.slice(11, 16)}` : step < 60 ? text.slice(11, 19) : text.slice(11, 16);
  });
}

function Twin({ title, times, lines, format }: { title: string; times: number[]; lines: Line[]; format: (value: number) => string }) {
  const rows = times.map((_, at) => at).reverse().slice(0, 120);
  return (
    <div class="twin" tabIndex={0} role="region" aria-label={title}>
      <table>
        <thead>
          <tr>
            <th scope="col">{t.time}</th>
            {lines.map((line) => (
              <th key={line.label} scope="col" class="num">
                {line.label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={times[row]}>
              <th scope="row">{absolute(times[row]! * 1000)}</th>
              {lines.map((line) => (
                <td key={line.label} class="num">
                  {typeof line.values[row] === 'number' ? format(line.values[row] as number) : '–'}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
