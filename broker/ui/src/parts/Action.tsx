// The one dialog in which things are done: what will happen to how many, the fields it takes, the same call for a terminal.
import { signal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { type Call, call, curl, sentence } from '../core/api';
import { refresh } from '../core/live';
import { somethingChanged } from '../core/resource';
import { t } from '../en';
import { Copy } from './Copy';
import { Icon } from './Icon';
import { say, Trouble } from './Notice';

export interface Field {
  name: string;
  label: string;
  kind: 'text' | 'number' | 'span' | 'area' | 'check' | 'choice';
  initial?: string;
  hint?: string;
  choices?: { value: string; label: string }[];
  isRequired?: boolean;
}

export type Values = Record<string, string>;

export interface Action {
  title: string;
  text?: ComponentChildren;
  /** What the button says; with the count once `measure` has answered. */
  button: string | ((count: number) => string);
  isDangerous?: boolean;
  fields?: Field[];
  /** The calls that do it, one after the other. */
  calls: (values: Values) => Call[];
  /** Asks how many it will touch, before anything is done. */
  measure?: (values: Values) => Promise<number>;
  /** Shown below the fields, and drawn anew as they change. */
  preview?: (values: Values) => ComponentChildren;
  /** What is said afterwards; nothing is said if it says nothing. */
  done?: (answers: unknown[], values: Values) => string | void;
}

const asked = signal<Action | null>(null);

export function ask(action: Action): void {
  asked.value = action;
}

export function ActionDialog() {
  const action = asked.value;
  return action ? <Asked key={action.title} action={action} /> : null;
}

function Asked({ action }: { action: Action }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const initial = Object.fromEntries((action.fields ?? []).map((field) => [field.name, field.initial ?? '']));
  const [values, setValues] = useState<Values>(initial);
  const [count, setCount] = useState<number | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);

  useEffect(() => {
    const element = dialog.current!;
    const opener = document.activeElement as HTMLElement | null;
    if (!element.open) element.showModal();
    return () => {
      if (opener?.isConnected) opener.focus();
    };
  }, []);
  useEffect(() => {
    if (!action.measure) return undefined;
    let isStale = false;
    action.measure(values).then(
      (matched) => !isStale && setCount(matched),
      (problem) => !isStale && setError(problem),
    );
    return () => {
      isStale = true;
    };
  }, [action]);

  const close = () => dialog.current?.close();
  const calls = (): Call[] => {
    try {
      return action.calls(values);
    } catch {
      return [];
    }
  };
  const submit = async (event: Event) => {
    event.preventDefault();
    if (isBusy) return;
    setBusy(true);
    setError(null);
    try {
      const answers: unknown[] = [];
      for (const one of action.calls(values)) answers.push(await call(one));
      asked.value = null;
      const words = action.done?.(answers, values);
      if (words) say(words);
      somethingChanged();
      void refresh();
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  const label = typeof action.button === 'string' ? action.button : count === null && action.measure ? t.counting : action.button(count ?? 0);
  const cannot = isBusy || (!!action.measure && !count);
  const lines = calls().map(curl);
  return (
    <dialog ref={dialog} class="dialog" aria-labelledby="ask-title" onClose={() => (asked.value = null)}>
      <form onSubmit={(event: Event) => void submit(event)}>
        <header class="dialog-head">
          <h2 id="ask-title">{action.title}</h2>
          <button type="button" class="copy" aria-label={t.close} onClick={close}>
            <Icon name="close" />
          </button>
        </header>
        <div class="dialog-body">
          {action.text && <div class="dialog-text">{action.text}</div>}
          {action.fields && (
            <div class={`fields ${action.fields.length > 4 ? 'is-many' : ''}`}>
              {action.fields.map((field) => (
                <FieldRow key={field.name} field={field} value={values[field.name] ?? ''} set={(value) => setValues((old) => ({ ...old, [field.name]: value }))} />
              ))}
            </div>
          )}
          {action.preview?.(values)}
          {error !== null && <Trouble error={error} />}
          {lines.length > 0 && (
            <details class="terminal">
              <summary>{t.sameInTerminal}</summary>
              <div class="command">
                <pre tabIndex={0} aria-label={t.command}>
                  <code>{lines.slice(0, 3).join('\n')}</code>
                </pre>
                <Copy text={lines.join('\n')} />
              </div>
            </details>
          )}
        </div>
        <footer class="dialog-foot">
          <button type="button" class="button" onClick={close}>
            {t.notNow}
          </button>
          <button type="submit" class={`button ${action.isDangerous ? 'is-danger' : 'is-primary'}`} disabled={cannot}>
            {label}
          </button>
        </footer>
      </form>
    </dialog>
  );
}

function FieldRow({ field, value, set }: { field: Field; value: string; set: (value: string) => void }) {
  const id = `field-${field.name}`;
  const hint = field.hint ? `${id}-hint` : undefined;
  const common = { id, name: field.name, 'aria-describedby': hint, required: field.isRequired };
  const input = (event: Event) => set((event.currentTarget as HTMLInputElement).value);
  if (field.kind === 'check') {
    return (
      <label class="check is-wide" for={id}>
        <input {...common} type="checkbox" checked={value === 'true'} onChange={(event: Event) => set(String((event.currentTarget as HTMLInputElement).checked))} />
        <span>
          {field.label}
          {field.hint && <small id={hint}>{field.hint}</small>}
        </span>
      </label>
    );
  }
  return (
    <div class={`field ${field.kind === 'area' ? 'is-wide' : ''}`}>
      <label for={id}>{field.label}</label>
      {field.kind === 'area' ? (
        <textarea {...common} rows={6} value={value} onInput={input} spellcheck={false} />
      ) : field.kind === 'choice' ? (
        <select {...common} value={value} onChange={input}>
          {(field.choices ?? []).map((choice) => (
            <option key={choice.value} value={choice.value}>
              {choice.label}
            </option>
          ))}
        </select>
      ) : (
        <input {...common} type="text" inputMode={field.kind === 'number' ? 'numeric' : undefined} value={value} onInput={input} autocomplete="off" spellcheck={false} />
      )}
      {field.hint && <small id={hint}>{field.hint}</small>}
    </div>
  );
}

/** Does something that needs no question. */
export async function act(what: Call, words: string): Promise<void> {
  try {
    await call(what);
    say(words);
    somethingChanged();
    void refresh();
  } catch (error) {
    say(sentence(error), true);
  }
}
