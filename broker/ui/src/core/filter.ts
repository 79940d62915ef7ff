// The filter language on the client's side: what can be suggested at the cursor, and how terms are put together.
import { t } from '../en';
import { get } from './api';
import { snapshot } from './live';
import { items } from './shape';
import { STATES } from './answers';

export const COLUMNS = [
  'state', 'queue', 'kind', 'key', 'tag', 'id', 'error', 'fingerprint', 'reason', 'age', 'created', 'run_at', 'leased',
  'finished', 'attempt', 'deliveries', 'crashes', 'snoozes', 'priority', 'size', 'schedule', 'group', 'session', 'dedup',
] as const;

const REASONS = ['failed', 'fatal', 'poison', 'timeout', 'stalled', 'dependency', 'operator'];
const NUMBERS = ['>3', '>=1', '0', '1..3'];
const AGES = ['>1h', '>1d', '<5m', '1h..2h'];
const INSTANTS = ['>-1h', '>-1d', '<-7d'];

export interface Suggestion {
  /** What the box holds when this is taken. */
  text: string;
  label: string;
  hint: string;
}

/** A value as it is written in a filter: in quotes where it would otherwise mean something. */
export function quote(value: string): string {
  return /^[A-Za-z0-9_.:/-]+$/.test(value) && !value.startsWith('-') ? value : `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

export function term(column: string, value: string): string {
  return `${column}:${quote(value)}`;
}

export function join(...terms: (string | undefined | null)[]): string {
  return terms.map((one) => one?.trim()).filter(Boolean).join(' ');
}

let kinds: string[] = [];
let schedules: string[] = [];

/** Asks once for the names that are suggested. */
export async function learnNames(): Promise<void> {
  const names = (path: string) => get(path).then((answer) => items(answer, (row) => String(row.name)), () => []);
  [kinds, schedules] = await Promise.all([names('/v1/kinds'), names('/v1/schedules')]);
}

function valuesOf(column: string): string[] {
  switch (column) {
    case 'state':
      return [...STATES];
    case 'queue':
      return (snapshot.peek()?.queues ?? []).map((queue) => queue.name);
    case 'kind':
      return kinds;
    case 'schedule':
      return schedules;
    case 'reason':
      return REASONS;
    case 'age':
      return AGES;
    case 'created':
    case 'run_at':
    case 'leased':
    case 'finished':
      return INSTANTS;
    case 'attempt':
    case 'deliveries':
    case 'crashes':
    case 'snoozes':
    case 'priority':
    case 'size':
      return NUMBERS;
    default:
      return [];
  }
}

/** The term that the cursor stands in: its start, and its text up to the cursor. */
function termAt(text: string, cursor: number): [number, string] {
  let isQuoted = false;
  let start = 0;
  for (let at = 0; at < cursor; at += 1) {
    if (text[at] === '"') isQuoted = !isQuoted;
    else if (text[at] === ' ' && !isQuoted) start = at + 1;
  }
  return [start, text.slice(start, cursor)];
}

/** What could stand at the cursor. */
export function suggest(text: string, cursor: number): Suggestion[] {
  const [start, typed] = termAt(text, cursor);
  const minus = typed.startsWith('-') ? '-' : '';
  const word = typed.slice(minus.length);
  const colon = word.indexOf(':');
  const put = (written: string) => `${text.slice(0, start)}${minus}${written}${text.slice(cursor)}`;
  if (colon < 0) {
    return COLUMNS.filter((column) => column.startsWith(word.toLowerCase()))
      .slice(0, 10)
      .map((column) => ({ text: put(`${column}:`), label: `${minus}${column}:`, hint: t.filter.columns[column] }));
  }
  const column = word.slice(0, colon);
  const values = word.slice(colon + 1);
  const comma = values.lastIndexOf(',');
  const last = values.slice(comma + 1).replaceAll('"', '').toLowerCase();
  const head = `${column}:${values.slice(0, comma + 1)}`;
  return valuesOf(column)
    .filter((value) => value.toLowerCase().includes(last) && value.toLowerCase() !== last)
    .slice(0, 10)
    .map((value) => ({ text: put(`${head}${/^[<>\d]/.test(value) ? value : quote(value)} `), label: value, hint: '' }));
}
