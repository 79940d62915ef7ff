// How numbers stand in sentences.

const whole = new Intl.NumberFormat('en');
export const n = (value: number) => whole.format(value);
/** `1 job`, `2 jobs`. */
export const many = (value: number, one: string, more = `${one}s`) => `${n(value)} ${value === 1 ? one : more}`;
