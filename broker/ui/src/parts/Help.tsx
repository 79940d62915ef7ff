// The list of shortcuts.
import { useEffect, useRef } from 'preact/hooks';
import { helpOpen } from '../core/keys';
import { shortcuts } from '../core/prefs';
import { t } from '../en';
import { Icon } from './Icon';

export function Help() {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (helpOpen.value && dialog.current && !dialog.current.open) dialog.current.showModal();
  }, [helpOpen.value]);
  if (!helpOpen.value) return null;
  return (
    <dialog ref={dialog} class="dialog" aria-labelledby="help-title" onClose={() => (helpOpen.value = false)}>
      <header class="dialog-head">
        <h2 id="help-title">{t.keys.title}</h2>
        <button type="button" class="copy" aria-label={t.close} onClick={() => dialog.current?.close()}>
          <Icon name="close" />
        </button>
      </header>
      <div class="dialog-body">
        {!shortcuts.value && <p class="muted">{t.keys.areOff}</p>}
        <dl class="keys">
          {t.keys.list.map(([keys, what]) => (
            <div key={what}>
              <dt>
                {keys.split(' ').map((key) => (
                  <kbd key={key}>{key}</kbd>
                ))}
              </dt>
              <dd>{what}</dd>
            </div>
          ))}
        </dl>
      </div>
    </dialog>
  );
}
