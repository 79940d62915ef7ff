// What an empty broker shows: the three commands of the README's first five minutes.
import { t } from '../en';
import { Command } from '../parts/Copy';
import { Icon } from '../parts/Icon';

export function FirstSteps({ hasWorker }: { hasWorker: boolean }) {
  return (
    <section class="panel first">
      <h2>{t.first.title}</h2>
      <p class="muted">{t.first.text}</p>
      <ol>
        {t.first.steps.map((step, at) => (
          <li key={step.title}>
            <p>
              <strong>{step.title}</strong>
              {at === 1 && hasWorker && (
                <span class="state is-completed">
                  <Icon name="check" size={14} /> {t.first.hasWorker}
                </span>
              )}
            </p>
            <Command text={step.command} label={step.title} />
          </li>
        ))}
      </ol>
    </section>
  );
}
