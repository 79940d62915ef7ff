// The filter in words, with suggestions at the cursor.
import { useEffect, useRef, useState } from 'preact/hooks';
import { learnNames, suggest } from '../core/filter';
import { t } from '../en';
import { Icon } from './Icon';

interface Props {
  value: string;
  label: string;
  submit: (value: string) => void;
  hasFocus?: boolean;
  isBad?: boolean;
}

export function SearchBox({ value, label, submit, hasFocus, isBad }: Props) {
  const input = useRef<HTMLInputElement>(null);
  const [text, setText] = useState(value);
  const [cursor, setCursor] = useState(0);
  const [isOpen, setOpen] = useState(false);
  const [chosen, setChosen] = useState(-1);
  useEffect(() => setText(value), [value]);
  useEffect(() => {
    if (hasFocus) input.current?.focus();
  }, [hasFocus]);

  const options = isOpen ? suggest(text, cursor) : [];
  const take = (written: string, at: number) => {
    setText(written);
    setChosen(-1);
    setCursor(at);
    const element = input.current!;
    element.focus();
    requestAnimationFrame(() => element.setSelectionRange(at, at));
    // A column wants its value next; a value ends the term.
    setOpen(!written.slice(0, at).endsWith(' '));
  };
  const choose = (index: number) => {
    const option = options[index];
    if (option) take(option.text, option.text.length - (text.length - cursor));
  };
  const keyDown = (event: KeyboardEvent) => {
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      if (!isOpen) return setOpen(true);
      const by = event.key === 'ArrowDown' ? 1 : -1;
      setChosen((old) => (options.length ? (old + by + options.length + (old < 0 && by < 0 ? 1 : 0)) % options.length : -1));
    } else if (event.key === 'Enter') {
      event.preventDefault();
      if (chosen >= 0 && options[chosen]) return choose(chosen);
      setOpen(false);
      submit(text.trim());
    } else if (event.key === 'Tab' && isOpen && chosen >= 0) {
      event.preventDefault();
      choose(chosen);
    } else if (event.key === 'Escape') {
      if (isOpen) setOpen(false);
      else input.current?.blur();
    }
    return undefined;
  };
  const moved = (event: Event) => setCursor((event.currentTarget as HTMLInputElement).selectionStart ?? 0);
  const list = 'search-options';
  return (
    <form
      class="search"
      role="search"
      onSubmit={(event: Event) => {
        event.preventDefault();
        submit(text.trim());
      }}
    >
      <Icon name="search" />
      <input
        ref={input}
        data-search=""
        type="text"
        role="combobox"
        aria-label={label}
        aria-autocomplete="list"
        aria-expanded={options.length > 0}
        aria-controls={options.length > 0 ? list : undefined}
        aria-activedescendant={chosen >= 0 ? `${list}-${chosen}` : undefined}
        aria-invalid={isBad || undefined}
        placeholder={t.filter.placeholder}
        autocomplete="off"
        spellcheck={false}
        value={text}
        onInput={(event: Event) => {
          setText((event.currentTarget as HTMLInputElement).value);
          moved(event);
          setOpen(true);
          setChosen(-1);
        }}
        onKeyDown={keyDown}
        onKeyUp={moved}
        onClick={moved}
        onFocus={(event: Event) => {
          void learnNames();
          moved(event);
          setOpen(true);
        }}
        onBlur={() => setTimeout(() => setOpen(false), 150)}
      />
      {text && (
        <button type="button" class="copy" aria-label={t.filter.clear} onClick={() => { setText(''); submit(''); }}>
          <Icon name="close" size={14} />
        </button>
      )}
      {options.length > 0 && (
        <ul class="options" id={list} role="listbox" aria-label={t.filter.suggestions}>
          {options.map((option, index) => (
            <li
              key={option.label}
              id={`${list}-${index}`}
              role="option"
              aria-selected={index === chosen}
              onMouseDown={(event: MouseEvent) => {
                event.preventDefault();
                choose(index);
              }}
            >
              <code>{option.label}</code>
              {option.hint && <span class="muted">{option.hint}</span>}
            </li>
          ))}
        </ul>
      )}
    </form>
  );
}
