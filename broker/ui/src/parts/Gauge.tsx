// How much of something is used: a bar, with the numbers in words for those who do not see it.
import { t } from '../en';
import { count } from '../core/format';

export function Gauge({ used, total, isLarge = false }: { used: number; total: number; isLarge?: boolean }) {
  const share = total > 0 ? Math.min(1, used / total) : 0;
  return (
    <span class={`gauge ${isLarge ? 'is-large' : ''}`}>
      <span class="gauge-bar" role="meter" aria-label={t.slotsUsed} aria-valuemin={0} aria-valuemax={Math.max(total, used, 1)} aria-valuenow={used} aria-valuetext={t.ofSlots(used, total)}>
        <span class={`gauge-fill ${share >= 0.95 ? 'is-full' : ''}`} style={{ width: `${share * 100}%` }} />
      </span>
      {!isLarge && (
        <span class="gauge-text" aria-hidden="true">
          {count(used)}
          <span class="faint">/{total ? count(total) : '–'}</span>
        </span>
      )}
    </span>
  );
}
