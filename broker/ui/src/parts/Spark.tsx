// A course of five minutes in the size of a word. The number beside it says the same, so it is hidden from screen readers.

interface Props {
  values: number[];
  width?: number;
  height?: number;
  kind?: 'plain' | 'bad';
}

export function Spark({ values, width = 96, height = 24, kind = 'plain' }: Props) {
  const top = Math.max(...values, 0);
  if (values.length < 2) return <svg class="spark" viewBox={`0 0 ${width} ${height}`} width={width} height={height} aria-hidden="true" />;
  const x = (at: number) => ((at / Math.max(1, values.length - 1)) * width).toFixed(1);
  const y = (value: number) => (height - 1.5 - (top ? (value / top) * (height - 4) : 0)).toFixed(1);
  const line = values.map((value, at) => `${at ? 'L' : 'M'}${x(at)} ${y(value)}`).join('');
  return (
    <svg class={`spark is-${kind}`} viewBox={`0 0 ${width} ${height}`} width={width} height={height} preserveAspectRatio="none" aria-hidden="true">
      <path class="spark-area" d={`${line}L${width} ${height}L0 ${height}Z`} />
      <path class="spark-line" d={line} />
    </svg>
  );
}
