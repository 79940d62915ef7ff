// A value as a tree that opens and closes: exact numbers, secrets hidden, long texts cut until asked for.
import { useState } from 'preact/hooks';
import { ExactNumber } from '../core/api';
import { bytes } from '../core/format';
import { holdsSecret, isSecret, MASK, redact, redactText } from '../core/redact';
import { t } from '../en';
import { Copy } from './Copy';
import { Icon } from './Icon';

const OPEN_DEPTH = 2;
const MANY = 50;
const LONG = 400;

interface Props {
  title: string;
  value: unknown;
  note?: string;
  size?: number;
  download?: string;
}

export function ValueBox({ title, value, note, size }: Props) {
  const [isShown, setShown] = useState(false);
  const [isRaw, setRaw] = useState(false);
  const isHiding = holdsSecret(value);
  const safe = isHiding && !isShown ? redact(value) : value;
  const raw = typeof safe === 'string' ? safe : JSON.stringify(safe, null, 2);
  const isHex = typeof value === 'string' && value.length > 1 && value.length % 2 === 0 && /^[0-9a-f]+$/.test(value) && /[a-f]/.test(value);
  return (
    <section class="panel">
      <header class="panel-head">
        <h2>{title}</h2>
        <span class="scope">{[note, isHex ? t.binary : '', size ? bytes(size) : ''].filter(Boolean).join(' · ')}</span>
        {isHiding && (
          <button type="button" class="link-button" aria-pressed={isShown} onClick={() => setShown(!isShown)}>
            <Icon name="eye" size={14} /> {isShown ? t.hideSecrets : t.reveal}
          </button>
        )}
        {typeof value === 'object' && value !== null && (
          <button type="button" class="link-button" aria-pressed={isRaw} onClick={() => setRaw(!isRaw)}>
            {isRaw ? t.tree : t.raw}
          </button>
        )}
        <Copy text={raw ?? ''} />
      </header>
      <div class="tree" tabIndex={0} role="region" aria-label={title}>
        {isRaw ? <pre>{raw}</pre> : <Node value={value} name={null} depth={0} isShown={isShown} />}
      </div>
    </section>
  );
}

function Node({ value, name, depth, isShown }: { value: unknown; name: string | null; depth: number; isShown: boolean }) {
  const [isOpen, setOpen] = useState(depth < OPEN_DEPTH);
  const [most, setMost] = useState(MANY);
  const label = name === null ? null : <span class="tree-name">{name}</span>;
  if (name !== null && !isShown && isSecret(name)) {
    return (
      <div class="tree-row">
        {label}
        <span class="tree-mask" title={t.hidden}>
          {MASK}
        </span>
      </div>
    );
  }
  const isList = Array.isArray(value);
  const isBranch = isList || (typeof value === 'object' && value !== null && !(value instanceof ExactNumber));
  if (!isBranch) {
    return (
      <div class="tree-row">
        {label}
        <Leaf value={value} isShown={isShown} />
      </div>
    );
  }
  const entries: [string, unknown][] = isList ? (value as unknown[]).map((inner, at) => [String(at), inner]) : Object.entries(value as Record<string, unknown>);
  const size = isList ? `[${entries.length}]` : `{${entries.length}}`;
  if (!entries.length) {
    return (
      <div class="tree-row">
        {label}
        <span class="faint">{isList ? '[]' : '{}'}</span>
      </div>
    );
  }
  return (
    <div class="tree-branch">
      {depth > 0 && (
        <button type="button" class="tree-fold" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
          <Icon name="right" size={12} />
          {label}
          <span class="faint">{size}</span>
        </button>
      )}
      {isOpen && (
        <div class={depth > 0 ? 'tree-inner' : ''}>
          {entries.slice(0, most).map(([key, inner]) => (
            <Node key={key} name={key} value={inner} depth={depth + 1} isShown={isShown} />
          ))}
          {entries.length > most && (
            <button type="button" class="link-button" onClick={() => setMost(most + 200)}>
              {t.more(entries.length - most)}
            </button>
          )}
        </div>
      )}
    </div>
  );
}

function Leaf({ value, isShown }: { value: unknown; isShown: boolean }) {
  const [isLong, setLong] = useState(false);
  if (value instanceof ExactNumber) return <span class="tree-number">{value.source}</span>;
  if (typeof value !== 'string') return <span class={`tree-${value === null ? 'null' : typeof value}`}>{String(value)}</span>;
  const text = isShown ? value : redactText(value);
  if (text.length <= LONG || isLong) return <span class="tree-string">{text || '""'}</span>;
  return (
    <span class="tree-string">
      {text.slice(0, LONG)}…{' '}
      <button type="button" class="link-button" onClick={() => setLong(true)}>
        {t.moreCharacters(text.length - LONG)}
      </button>
    </span>
  );
}
