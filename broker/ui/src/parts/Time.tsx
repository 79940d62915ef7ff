// An instant, relative to the broker's clock, with the instant in full behind it.
import { absolute, now, relative } from '../core/format';

export function Time({ at, none = '–' }: { at: string | null | undefined; none?: string }) {
  const instant = at ? Date.parse(at) : NaN;
  if (!Number.isFinite(instant)) return <span class="faint">{none}</span>;
  return (
    <time dateTime={at!} title={absolute(instant)}>
      {relative(instant, now.value)}
    </time>
  );
}
