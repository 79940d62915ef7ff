// Puts a text on the clipboard, also over plain HTTP where browsers deny the modern way.
import { useState } from 'preact/hooks';
import { t } from '../en';
import { Icon } from './Icon';

export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement('textarea');
    area.value = text;
    area.className = 'off-screen';
    (document.querySelector('dialog[open]') ?? document.body).append(area);
    area.select();
    const isDone = document.execCommand('copy');
    area.remove();
    return isDone;
  }
}

export function Copy({ text, label, isQuiet = true }: { text: string; label?: string; isQuiet?: boolean }) {
  const [isDone, setDone] = useState(false);
  const copy = () =>
    void copyText(text).then((done) => {
      setDone(done);
      if (done) setTimeout(() => setDone(false), 1500);
    });
  return (
    <button type="button" class={isQuiet ? 'copy' : 'button is-small'} onClick={copy} aria-label={label ? undefined : t.copy} title={t.copy}>
      <Icon name={isDone ? 'check' : 'copy'} size={14} />
      {label && <span>{isDone ? t.copied : label}</span>}
      {!label && isDone && <span class="visually-hidden" role="status">{t.copied}</span>}
    </button>
  );
}

/** A command for a terminal, with a button that copies it. */
export function Command({ text, label }: { text: string; label?: string }) {
  return (
    <div class="command">
      <pre tabIndex={0} aria-label={label ?? t.command}>
        <code>{text}</code>
      </pre>
      <Copy text={text} />
    </div>
  );
}
