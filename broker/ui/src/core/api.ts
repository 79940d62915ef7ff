// The way to the broker: public HTTP calls, problems as sentences, and every call as a curl line.
import { signal } from '@preact/signals';
import { t } from '../en';
import { namespace } from './prefs';

export interface Call {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  path: string;
  body?: unknown;
  headers?: Record<string, string>;
}

/** The broker asks for a token, and this browser has shown none, or its token has ended. */
export const shut = signal(false);

/** An answer of the broker that is no success, as a sentence. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly title: string,
    message: string,
    readonly fields: { pointer: string; detail: string }[] = [],
    readonly retryAfterMs = 0,
  ) {
    super(message);
  }
}

/** A number that a double cannot hold, as it was written. */
export class ExactNumber {
  constructor(readonly source: string) {}
  toJSON(): unknown {
    const raw = (JSON as unknown as { rawJSON?: (text: string) => unknown }).rawJSON;
    return raw ? raw(this.source) : Number(this.source);
  }
}

/** JSON whose large integers stay exact, in browsers that tell the source of a number. */
export function parseExact(text: string): unknown {
  const revive = (_name: string, value: unknown, context?: { source?: string }) => {
    const source = context?.source;
    const isInexact = typeof value === 'number' && source !== undefined && /^-?\d+$/.test(source) && !Number.isSafeInteger(value);
    return isInexact ? new ExactNumber(source) : value;
  };
  return JSON.parse(text, revive as (this: unknown, key: string, value: unknown) => unknown);
}

function headersOf(call: Call): Record<string, string> {
  const headers: Record<string, string> = { accept: 'application/json', ...call.headers };
  if (call.body !== undefined) headers['content-type'] = 'application/json';
  if (namespace.value !== 'default') headers['windlass-namespace'] = namespace.value;
  return headers;
}

async function problemOf(response: Response): Promise<Problem> {
  let told: Record<string, unknown> = {};
  try {
    told = (await response.json()) as Record<string, unknown>;
  } catch {
    told = {};
  }
  const title = String(told.title ?? (response.statusText || response.status));
  const fields = Array.isArray(told.errors) ? (told.errors as { pointer: string; detail: string }[]) : [];
  const detail = String(told.detail ?? t.problem.status(response.status));
  return new Problem(response.status, String(told.code ?? ''), title, detail, fields, Number(told.retry_after_ms ?? 0));
}

export interface Answer<T> {
  value: T;
  etag: string | null;
}

/** One call, with the ETag of what it answered. */
export async function callFull<T>(call: Call, signal?: AbortSignal): Promise<Answer<T>> {
  let response: Response;
  try {
    response = await fetch(call.path, {
      method: call.method,
      headers: headersOf(call),
      body: call.body === undefined ? undefined : JSON.stringify(call.body),
      signal,
      cache: 'no-store',
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new Problem(0, 'OFFLINE', t.problem.offlineTitle, t.problem.offline);
  }
  if (response.status === 401) shut.value = true;
  if (!response.ok) throw await problemOf(response);
  const text = await response.text();
  return { value: (text ? parseExact(text) : null) as T, etag: response.headers.get('etag') };
}

export async function call<T>(what: Call, signal?: AbortSignal): Promise<T> {
  return (await callFull<T>(what, signal)).value;
}

export function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return call<T>({ method: 'GET', path }, signal);
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}

export function sentence(error: unknown): string {
  if (error instanceof Problem) {
    const fields = error.fields.map((field) => `${field.pointer.replace(/^\//, '')}: ${field.detail}`);
    return fields.length && !fields.some((field) => field.endsWith(error.message)) ? `${error.message} ${fields.join(' ')}` : error.message;
  }
  return error instanceof Error ? error.message : String(error);
}

const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

/** The same call for a terminal. */
export function curl(what: Call): string {
  const parts = ['curl', '-sS'];
  if (what.method !== 'GET') parts.push('-X', what.method);
  const headers = headersOf(what);
  delete headers.accept;
  for (const [name, value] of Object.entries(headers)) parts.push('-H', quoted(`${name}: ${value}`));
  if (what.body !== undefined) parts.push('-d', quoted(JSON.stringify(what.body)));
  parts.push(quoted(location.origin + what.path));
  return parts.join(' ');
}
