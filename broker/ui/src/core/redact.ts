// What is hidden until somebody asks for it: values whose name says that they are secret.

const SECRET = /pass(word|wd|phrase)?$|^pwd$|token|secret|authorization|api[-_]?key|credential|cookie|private[-_]?key/i;
const IN_TEXT = /((?:pass(?:word|wd)?|token|secret|authorization|api[-_]?key|cookie)["']?\s*[:=]\s*)("[^"]*"|'[^']*'|(?:Bearer\s+|Basic\s+)?[^\s,;&"']+)/gi;

export const MASK = '••••••';

export function isSecret(name: string): boolean {
  return SECRET.test(name);
}

/** A text with what stands behind `password=` and the like masked. */
export function redactText(text: string): string {
  return text.replace(IN_TEXT, (_, name: string) => `${name}${MASK}`);
}

/** A copy with every secret value masked, to any depth. */
export function redact(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(redact);
  if (typeof value === 'string') return redactText(value);
  if (value && typeof value === 'object' && value.constructor === Object) {
    const entries = Object.entries(value as Record<string, unknown>);
    return Object.fromEntries(entries.map(([name, inner]) => [name, isSecret(name) ? MASK : redact(inner)]));
  }
  return value;
}

export function holdsSecret(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(holdsSecret);
  if (typeof value === 'string') return redactText(value) !== value;
  if (value && typeof value === 'object' && value.constructor === Object) {
    return Object.entries(value as Record<string, unknown>).some(([name, inner]) => isSecret(name) || holdsSecret(inner));
  }
  return false;
}
