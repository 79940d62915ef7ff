// The state of a job: a sign and a word, never a colour alone.
import type { State as JobState } from '../core/answers';
import { t } from '../en';
import { Icon } from './Icon';

export function State({ state, isRetry = false }: { state: JobState; isRetry?: boolean }) {
  return (
    <span class={`state is-${state}`}>
      <Icon name={state in t.states ? state : 'ready'} size={14} />
      {isRetry ? t.retrying : (t.states[state] ?? state)}
    </span>
  );
}
