// A cron expression in plain words, for the usual shapes; the broker is asked for the rest.
import { span } from './format';
import { t } from '../en';

const pad = (value: string) => value.padStart(2, '0');
const isNumber = (text: string) => /^\d+$/.test(text);

/** Words for an expression or an interval; null where only the expression itself says it. */
export function inWords(cron: string, everyMs: number): string | null {
  if (everyMs) return t.cron.every(span(everyMs));
  const fields = cron.trim().split(/\s+/);
  if (fields.length === 6 && fields[0] === '0') fields.shift();
  if (fields.length !== 5) return null;
  const [minute, hour, day, month, weekday] = fields as [string, string, string, string, string];
  const isDaily = day === '*' && month === '*';
  const step = /^\*\/(\d+)$/.exec(minute);
  if (hour === '*' && isDaily && weekday === '*') {
    if (minute === '*') return t.cron.everyMinute;
    if (step) return t.cron.everyMinutes(Number(step[1]));
    if (isNumber(minute)) return minute === '0' ? t.cron.hourly : t.cron.hourlyAt(Number(minute));
  }
  const hours = /^\*\/(\d+)$/.exec(hour);
  if (hours && isNumber(minute) && isDaily && weekday === '*') return t.cron.everyHours(Number(hours[1]), Number(minute));
  if (!isNumber(minute) || !isNumber(hour)) return null;
  const time = `${pad(hour)}:${pad(minute)}`;
  if (isDaily && weekday === '*') return t.cron.daily(time);
  if (isDaily && weekday === '1-5') return t.cron.workdays(time);
  if (isDaily && /^\d(,\d)*$/.test(weekday)) return t.cron.weekly(weekday.split(',').map((one) => t.cron.days[Number(one) % 7]!).join(', '), time);
  if (month === '*' && weekday === '*' && isNumber(day)) return t.cron.monthly(Number(day), time);
  return null;
}
