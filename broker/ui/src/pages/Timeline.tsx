// The life of a job from left to right: each step with its instant, each attempt that did not complete as a branch.
import { now, span } from '../core/format';
import type { Job } from '../core/answers';
import { t } from '../en';
import { Icon, type IconName } from '../parts/Icon';
import { Time } from '../parts/Time';

interface Step {
  icon: IconName;
  name: string;
  at: string | null;
  tone: string;
  note?: string;
  isOpen?: boolean;
}

const MOST_ATTEMPTS = 4;

function steps(job: Job): Step[] {
  const list: Step[] = [{ icon: 'jobs', name: t.timeline.enqueued, at: job.created_at, tone: 'done' }];
  const history = job.history ?? [];
  const left = history.length - MOST_ATTEMPTS;
  if (left > 0) list.push({ icon: 'more', name: t.timeline.earlier(left), at: null, tone: 'done' });
  for (const attempt of history.slice(-MOST_ATTEMPTS)) {
    const isBad = attempt.outcome !== 'released' && attempt.outcome !== 'cancelled';
    list.push({
      icon: isBad ? 'dead' : 'retry',
      name: t.timeline.attempt(attempt.attempt, t.job.outcomes[attempt.outcome as keyof typeof t.job.outcomes] ?? attempt.outcome),
      at: attempt.ended_at,
      tone: isBad ? 'bad' : 'done',
      note: attempt.kind,
    });
  }
  const ended = (name: string, icon: IconName, tone: string) => list.push({ icon, name, at: job.finished_at, tone });
  switch (job.state) {
    case 'scheduled':
      list.push({ icon: 'scheduled', name: history.length ? t.timeline.next : t.timeline.scheduled, at: job.run_at, tone: 'open', isOpen: true });
      break;
    case 'leased':
      list.push({ icon: 'leased', name: t.timeline.running, at: job.leased_at, tone: 'open', note: job.worker ?? undefined, isOpen: true });
      break;
    case 'completed':
      if (job.leased_at) list.push({ icon: 'leased', name: t.timeline.started, at: job.leased_at, tone: 'done' });
      ended(t.states.completed, 'completed', 'good');
      break;
    case 'dead':
      ended(t.states.dead, 'dead', 'bad');
      break;
    case 'cancelled':
      ended(t.states.cancelled, 'cancelled', 'done');
      break;
    case 'expired':
      ended(t.states.expired, 'expired', 'done');
      break;
    default:
      list.push({ icon: job.state, name: t.states[job.state], at: null, tone: 'open', isOpen: true });
  }
  return list;
}

export function Timeline({ job }: { job: Job }) {
  const list = steps(job);
  return (
    <section class="panel timeline" aria-label={t.timeline.label}>
      <ol>
        {list.map((step, at) => {
          const before = list[at - 1]?.at;
          const gap = before && step.at ? Date.parse(step.at) - Date.parse(before) : NaN;
          const since = step.isOpen && before && !step.at ? now.value - Date.parse(before) : NaN;
          return (
            <li key={at} class={`step is-${step.tone}`}>
              <span class="step-gap num">{gap > 0 ? span(gap) : since > 0 ? span(since) : ''}</span>
              <span class="step-dot">
                <Icon name={step.icon} size={14} />
              </span>
              <span class="step-name">{step.name}</span>
              <span class="step-at muted">{step.at ? <Time at={step.at} /> : (step.note ?? '')}</span>
              {step.at && step.note && <span class="step-note faint">{step.note}</span>}
            </li>
          );
        })}
      </ol>
    </section>
  );
}
