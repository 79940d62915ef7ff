// Numbers, lengths of time and instants as people read them.
import { signal } from '@preact/signals';
import { clock } from './prefs';

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });

/** How far the broker's clock is ahead of this browser's. */
let ahead = 0;
/** The broker's clock, once a second. */
export const now = signal(Date.now());
setInterval(() => {
  if (!document.hidden) now.value = Date.now() + ahead;
}, 1000);

export function setServerTime(at: string | null | undefined): void {
  const told = at ? Date.parse(at) : NaN;
  // A second or less is the way through the network, not the clock.
  if (Number.isFinite(told)) ahead = Math.abs(told - Date.now()) > 1500 ? told - Date.now() : 0;
}

export function count(value: number): string {
  return whole.format(value);
}

/** A rate: small ones with a digit behind the point. */
export function rate(value: number): string {
  if (value === 0) return '0';
  return value < 10 ? tenth.format(value) : whole.format(value);
}

export function compact(value: number): string {
  if (value < 10_000) return whole.format(value);
  if (value < 1_000_000) return `${tenth.format(value / 1000)}k`;
  if (value < 1_000_000_000) return `${tenth.format(value / 1_000_000)}M`;
  return `${tenth.format(value / 1_000_000_000)}G`;
}

export function percent(share: number): string {
  if (share === 0) return '0 %';
  if (share < 0.001) return '<0.1 %';
  return `${share < 0.1 ? tenth.format(share * 100) : whole.format(share * 100)} %`;
}

export function bytes(value: number): string {
  if (value < 1024) return `${value} B`;
  let size = value;
  for (const unit of ['KiB', 'MiB', 'GiB', 'TiB']) {
    size /= 1024;
    if (size < 1024) return `${size < 10 ? tenth.format(size) : whole.format(size)} ${unit}`;
  }
  return `${whole.format(size / 1024)} PiB`;
}

/** A length of time in its two largest units: `2 m 10 s`. */
export function span(ms: number): string {
  if (ms < 0) return `-${span(-ms)}`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${tenth.format(ms / 1000)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return seconds % 60 ? `${minutes} m ${seconds % 60} s` : `${minutes} m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 ? `${hours} h ${minutes % 60} m` : `${hours} h`;
  const days = Math.floor(hours / 24);
  return hours % 24 && days < 30 ? `${days} d ${hours % 24} h` : `${days} d`;
}

/** A length of time in its largest unit, for narrow places: `2m`. */
export function shortSpan(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const [size, unit] =
    ms < 60_000 ? [1000, 's'] : ms < 3_600_000 ? [60_000, 'm'] : ms < 86_400_000 ? [3_600_000, 'h'] : [86_400_000, 'd'];
  return `${Math.floor(ms / (size as number))} ${unit}`;
}

export function micros(us: number): string {
  return us < 1000 ? `${us} µs` : `${tenth.format(us / 1000)} ms`;
}

/** How long ago, or how soon. */
export function relative(at: number, base: number): string {
  const away = at - base;
  if (Math.abs(away) < 1000) return 'now';
  return away < 0 ? `${shortSpan(-away)} ago` : `in ${shortSpan(away)}`;
}

/** An instant in full, with its zone. */
export function absolute(at: number): string {
  const date = new Date(at);
  if (clock.value === 'utc') return `${date.toISOString().slice(0, 19).replace('T', ' ')} UTC`;
  const pad = (value: number) => String(value).padStart(2, '0');
  const zone = -date.getTimezoneOffset();
  const sign = zone < 0 ? '-' : '+';
  const offset = `${sign}${pad(Math.floor(Math.abs(zone) / 60))}:${pad(Math.abs(zone) % 60)}`;
  const day = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  return `${day} ${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())} ${offset}`;
}

export function timeOfDay(at: number): string {
  return absolute(at).slice(11, 19);
}

/** A length of time as it is typed: `2h`, `90s`. */
export function typedSpan(ms: number): string {
  for (const [unit, size] of [['d', 86_400_000], ['h', 3_600_000], ['m', 60_000], ['s', 1000]] as const) {
    if (ms >= size && ms % size === 0) return `${ms / size}${unit}`;
  }
  return `${ms}ms`;
}

/** `1h30m` in milliseconds; undefined if it is no length of time. */
export function parseSpan(text: string): number | undefined {
  const units: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
  const trimmed = text.trim().replaceAll(' ', '');
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(trimmed)) return undefined;
  let total = 0;
  for (const [, value, , unit] of trimmed.matchAll(/(\d+(\.\d+)?)(ms|s|m|h|d)/g)) total += Number(value) * units[unit as string]!;
  return total;
}
